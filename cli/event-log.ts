import type { RunEvent, RunListener } from '../coordinator/events.js';
import type { Logger } from '../shared/log.js';

const stepEveryMs = 1000;
const quiet: ReadonlySet<RunEvent['type']> = new Set(['test-batch', 'predict-batch', 'saving']);

/** Logs a run's events, one entry each; steps at most once a second, single batches of a test only as debug. */
export function eventLog(logger: Logger, nowMs: () => number = () => performance.now()): RunListener {
  let loggedMs = Number.NEGATIVE_INFINITY;
  return (event) => {
    if (event.type === 'step') {
      if (nowMs() - loggedMs < stepEveryMs) return;
      loggedMs = nowMs();
    }
    const { type, ...fields } = event;
    logger[levelOf(event)]({ event: type, ...fields });
  };
}

function levelOf({ type }: RunEvent): 'debug' | 'info' | 'warn' {
  if (type === 'warning' || type === 'worker-lost') return 'warn';
  return quiet.has(type) ? 'debug' : 'info';
}
