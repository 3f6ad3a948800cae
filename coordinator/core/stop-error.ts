import { invariant, LockstepError } from '../../shared/errors.js';
import type { RunState, StopCause } from './run.js';

/** Why a run that is stopped has stopped, as what its callers get to see. */
export function stopError(state: RunState): LockstepError {
  invariant(state.phase === 'stopped', 'the run goes on');
  return errorOf(state.cause);
}

export function errorOf({ code, message, hint }: StopCause): LockstepError {
  return new LockstepError(code, message, { hint });
}
