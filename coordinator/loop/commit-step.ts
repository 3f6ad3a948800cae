import { invariant, LockstepError } from '../../shared/errors.js';
import { batchLossOf, layoutOf } from '../../shared/sums.js';
import type { StepFacts } from '../receipts/receipts.js';
import type { RoundOutcome } from '../round.js';
import type { TrainingPlan } from './training-plan.js';

/** What became of a step. */
export type StepResult =
  | { readonly kind: 'committed' }
  /** Nothing has changed. */
  | { readonly kind: 'not-finite'; readonly error: LockstepError; readonly loss: number };

/** Applies what the shards of a step add up to, and commits it, unless it is not finite. Takes over the sum. */
export function commitStep(
  { program, state, receipts }: Pick<TrainingPlan, 'program' | 'state' | 'receipts'>,
  facts: StepFacts,
  { sum }: RoundOutcome,
): StepResult {
  invariant(sum !== null, 'a step without a sum');
  const loss = batchLossOf(layoutOf(program), program, sum.sums);
  const sumDigest = receipts?.sumOf(sum.gradient);
  try {
    if (!Number.isFinite(loss)) {
      throw new LockstepError('NOT_FINITE', `the loss became ${loss}`, {
        hint: 'Lower the learning rate, clip gradients (globalClipNorm), or look for extreme values in the data.',
      });
    }
    state.step(sum, facts.epoch);
  } catch (error) {
    if (!(error instanceof LockstepError) || error.code !== 'NOT_FINITE') throw error;
    const message = `step ${facts.step} is not finite: ${error.message}`;
    return { kind: 'not-finite', error: new LockstepError('NOT_FINITE', message, error), loss };
  }
  if (sumDigest !== undefined) receipts?.committed(facts, sumDigest);
  return { kind: 'committed' };
}
