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

/** What workers are told when the run stops: an interruption, or a lost run folder, is no failure of theirs. */
export function partingCode({ code }: StopCause): 'goodbye' | 'failed' {
  return code === 'INTERRUPTED' || code === 'RUN_LOCKED' ? 'goodbye' : 'failed';
}

/** Whether a round was given up because it did not end in time after a signal: the run ends as if it had. */
export function isAbandoned(error: unknown): boolean {
  return error instanceof LockstepError && error.code === 'INTERRUPTED';
}
