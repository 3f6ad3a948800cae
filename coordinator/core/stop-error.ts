import { invariant, LockstepError } from '../../shared/errors.js';
import type { RunState } from './run.js';

/** Why a run that is stopped has stopped, as what its callers get to see. */
export function stopError(state: RunState): LockstepError {
  invariant(state.phase === 'stopped', 'the run goes on');
  const { code, message, hint } = state.cause;
  return new LockstepError(code, message, { hint });
}
