import { LockstepError } from '../../shared/errors.js';
import type { Manifest } from '../../shared/manifest.js';
import type { RunListener } from '../events.js';
import { openReceipts } from '../receipts/open-receipts.js';
import { Receipts, type ReceiptsOptions } from '../receipts/receipts.js';
import { maxDigestedShards } from '../server/peer-bounds.js';
import type { TrainingRequest } from './build-plan.js';
import type { ModelState } from './model-state.js';

/**
 * The receipts of a run, if it has a folder to keep them in or somebody who listens.
 * @throws LockstepError BAD_OPTION
 */
export async function receiptsFor(
  {
    checkpoints,
    resume,
    recordShards,
    onReceipt,
  }: Pick<TrainingRequest, 'checkpoints' | 'resume' | 'recordShards' | 'onReceipt'>,
  run: ReceiptsOptions['run'],
  state: ModelState,
  emit: RunListener,
): Promise<Receipts | null> {
  if (checkpoints === null && onReceipt === null) {
    if (!recordShards) return null;
    throw new LockstepError('BAD_OPTION', 'recordShards without a folder to write to', {
      hint: 'Add checkpoint: { directory }: the receipts are written there.',
    });
  }
  if (recordShards) checkRecordable(run.shards, state.manifest);
  const chain = resume?.run.receiptsChain ?? null;
  const mark = resume === null || chain === null ? null : { step: resume.run.step, chain };
  const onWarning = (message: string): void => emit({ type: 'warning', message });
  const opened =
    checkpoints === null
      ? null
      : await openReceipts(checkpoints.directory, mark, onWarning, () => checkpoints.mayWrite());
  const receipts = new Receipts({
    run,
    state,
    file: opened?.file ?? null,
    onReceipt,
    recordShards,
    resumed: chain === null ? null : { chain, isWhole: opened?.isWhole ?? true },
  });
  checkpoints?.writeAfter(() => receipts.flush());
  return receipts;
}

/** A worker may compute all shards of a step, and then tells their digests in one message. */
function checkRecordable(shards: number, { weights }: Manifest): void {
  const variables = weights.filter(({ trainable }) => trainable).length;
  const most = maxDigestedShards(variables);
  if (shards <= most) return;
  throw new LockstepError(
    'BAD_OPTION',
    `recordShards of ${shards} shards with ${variables} variables each is more than a worker's message holds`,
    { hint: `Leave recordShards (--record-shards) out, or train with at most ${most} shards.` },
  );
}
