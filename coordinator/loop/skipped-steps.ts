import { LockstepError } from '../../shared/errors.js';
import type { NonFinitePolicy } from './training-plan.js';

/** So many steps in a row that are not finite are no accident of the data: the run stops at the last of them. */
export const maxSkipsInARow = 10;

/**
 * The list of skipped steps with one more.
 * @param skipped steps skipped so far, counted from 1, in order
 * @param step the step that is not finite
 * @throws LockstepError NOT_FINITE if the step may not be skipped
 */
export function withSkipped(
  skipped: readonly number[],
  step: number,
  policy: NonFinitePolicy,
  error: LockstepError,
): readonly number[] {
  if (policy === 'stop') throw error;
  const longer = [...skipped, step];
  const first = longer.at(-maxSkipsInARow);
  if (first !== undefined && first === step - maxSkipsInARow + 1) {
    throw new LockstepError('NOT_FINITE', `${maxSkipsInARow} steps in a row; ${error.message}`, error);
  }
  return longer;
}
