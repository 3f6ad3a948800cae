import type { StopCause } from './core/run-state.js';

/** Why a conductor ends a run by itself. */

export function noWorkerIsLeft(reason: string): StopCause {
  const hint = 'Look at what the workers wrote before they ended; `lockstep doctor` tests this machine.';
  return { code: 'NO_WORKERS', message: `no worker is left: ${reason}`, hint };
}

export function clusterWasClosed(reason: string): StopCause {
  const hint = 'Wait for what it computes before you close it, or make a new one.';
  return { code: 'NO_WORKERS', message: `the cluster was closed: ${reason}`, hint };
}

/** @param why the worker's bits would be others than the run's */
export function otherBits(worker: number, why: string): StopCause {
  const message = `worker ${worker} cannot go on with the run: ${why}`;
  const hint = 'Go on where the run was computed before; --allow-mixed goes on all the same, and labels it.';
  return { code: 'NOT_DETERMINISTIC', message, hint };
}
