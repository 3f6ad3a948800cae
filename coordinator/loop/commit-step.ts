import type { Digest } from '../../shared/digest.js';
import { invariant, LockstepError } from '../../shared/errors.js';
import { batchLossOf, layoutOf } from '../../shared/sums.js';
import type { StepFacts } from '../receipts/receipts.js';
import type { RoundOutcome } from '../round.js';
import type { TrainingPlan } from './training-plan.js';

/** What became of a step. */
export type StepResult =
  | {
      readonly kind: 'committed';
      /** Null without receipts. */
      readonly sumDigest: Digest | null;
    }
  /** Nothing has changed. */
  | { readonly kind: 'not-finite'; readonly error: LockstepError; readonly loss: number };

/** Applies what the shards of a step add up to, and commits it, unless it is not finite. Takes over the sum. */
export function commitStep(
  { program, state, receipts }: Pick<TrainingPlan, 'program' | 'state' | 'receipts'>,
  { step, epoch }: Pick<StepFacts, 'step' | 'epoch'>,
  { sum }: RoundOutcome,
): StepResult {
  invariant(sum !== null, 'a step without a sum');
  const layout = layoutOf(program);
  // A number of elements that is infinite would make it a loss of 0.
  const isCounted = layout.outputs.every(({ elements }) => Number.isFinite(sum.sums[elements]));
  const loss = isCounted ? batchLossOf(layout, program, sum.sums) : Number.NaN;
  const sumDigest = receipts?.sumOf(sum.gradient) ?? null;
  try {
    if (!Number.isFinite(loss)) {
      throw new LockstepError('NOT_FINITE', `the loss became ${loss}`, {
        hint: 'Lower the learning rate, clip gradients (globalClipNorm), or look for extreme values in the data.',
      });
    }
    state.step(sum, epoch);
  } catch (error) {
    if (!(error instanceof LockstepError) || error.code !== 'NOT_FINITE') throw error;
    const message = `step ${step} is not finite: ${error.message}`;
    return { kind: 'not-finite', error: new LockstepError('NOT_FINITE', message, error), loss };
  }
  return { kind: 'committed', sumDigest };
}

/** Writes down what became of a step; to be called once the run's position is past it. */
export function recordStep(
  { receipts, onEvent }: Pick<TrainingPlan, 'receipts' | 'onEvent'>,
  facts: StepFacts,
  result: StepResult,
): void {
  if (result.kind === 'not-finite') {
    onEvent({ type: 'warning', message: `${result.error.message}; it is skipped` });
    receipts?.skipped(facts);
  } else if (result.sumDigest !== null) receipts?.committed(facts, result.sumDigest);
}
