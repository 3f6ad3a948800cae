import { createHash } from 'node:crypto';
import { invariant, LockstepError } from '../../shared/errors.js';
import { batchLossOf, layoutOf } from '../../shared/sums.js';
import { bytesOf } from '../../shared/tensors.js';
import { weightsSha256 } from '../checkpoint/hashes.js';
import type { RoundOutcome } from '../round.js';
import type { Position, TrainingPlan } from './training-plan.js';

/** What became of a step. */
export type StepResult =
  | { readonly kind: 'committed' }
  /** Nothing has changed. */
  | { readonly kind: 'not-finite'; readonly error: LockstepError; readonly loss: number };

/** Applies what the shards of a step add up to, and commits it, unless it is not finite. Takes over the sum. */
export function commitStep(
  { program, state, onStep }: Pick<TrainingPlan, 'program' | 'state' | 'onStep'>,
  { epoch, step }: Position,
  { sum, digests }: RoundOutcome,
): StepResult {
  invariant(sum !== null, 'a step without a sum');
  const gradientSha256 =
    onStep === null ? '' : createHash('sha256').update(bytesOf(sum.gradient)).digest('hex');
  const loss = batchLossOf(layoutOf(program), program, sum.sums);
  try {
    if (!Number.isFinite(loss)) {
      throw new LockstepError('NOT_FINITE', `the loss became ${loss} in step ${step}`, {
        hint: 'Lower the learning rate, clip gradients (globalClipNorm), or look for extreme values in the data.',
      });
    }
    state.step(sum, epoch);
  } catch (error) {
    if (error instanceof LockstepError && error.code === 'NOT_FINITE')
      return { kind: 'not-finite', error, loss };
    throw error;
  }
  if (onStep !== null) {
    const { manifest, weights } = state;
    const { flat } = weights;
    const shardHashes = [...digests].map(([shard, variables]) => [shard, variables.join('')]);
    onStep({
      step: step + 1,
      manifest,
      flat,
      weightsSha256: weightsSha256(manifest, flat),
      gradientSha256,
      shardHashes: Object.fromEntries(shardHashes),
    });
  }
  return { kind: 'committed' };
}
