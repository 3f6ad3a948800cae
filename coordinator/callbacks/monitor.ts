import { LockstepError } from '../../shared/errors.js';
import type { Logs, Training } from './callback.js';

export type MonitorMode = 'auto' | 'min' | 'max';

export interface MonitorOptions {
  /** The entry of the logs to watch. Default `val_loss`. */
  readonly monitor?: string;
  /** Whether smaller or larger is better. Default `auto`: by the name of the metric. */
  readonly mode?: MonitorMode;
}

const larger =
  /(^|_)(acc|auc|iou|r2|f1|fbeta|fmeasure)|accuracy|precision|recall|cosine_similarity|specificity|sensitivity/;
const smaller =
  /loss|error|crossentropy|divergence|hinge|poisson|logcosh|huber|(^|_)(mse|mae|mape|msle|kld|rmse)$|proximity/;

/**
 * Whether larger values of a metric are better. Keras asks the metric's own direction; here it is read from the
 * name, and as in Keras a name that tells nothing is an error rather than a guess.
 * @throws LockstepError BAD_OPTION
 */
function largerIsBetter(monitor: string, mode: MonitorMode): boolean {
  if (mode === 'min' || mode === 'max') return mode === 'max';
  if (mode !== 'auto') {
    throw new LockstepError('BAD_OPTION', `mode is ${mode}, expected auto, min or max`, {
      hint: 'Use "min" for a loss, "max" for a score.',
    });
  }
  // The names of TensorFlow.js are camelCase (topKCategoricalAccuracy), Keras's are not.
  const name = monitor.replace(/([a-z])([A-Z])/g, '$1_$2').toLowerCase();
  if (larger.test(name)) return true;
  if (smaller.test(name.replaceAll('_', '')) || smaller.test(name)) return false;
  throw new LockstepError('BAD_OPTION', `cannot tell whether a larger ${monitor} is better`, {
    hint: `Pass mode: 'max' or mode: 'min'.`,
  });
}

/** Watches one entry of the logs. */
export interface Monitor {
  readonly name: string;
  /** The value that any other improves on. */
  readonly worst: number;
  /** Whether `value` is better than `reference` by more than `minDelta`. */
  improves(value: number, reference: number, minDelta?: number): boolean;
  /** The watched value. If the logs lack it, says so once, with `consequence`, and gives null. */
  read(logs: Logs, training: Training, consequence: string): number | null;
}

/** @throws LockstepError BAD_OPTION if `auto` cannot tell the direction */
export function monitorOf({ monitor = 'val_loss', mode = 'auto' }: MonitorOptions): Monitor {
  const up = largerIsBetter(monitor, mode);
  let warned = false;
  return {
    name: monitor,
    worst: up ? Number.NEGATIVE_INFINITY : Number.POSITIVE_INFINITY,
    improves: (value, reference, minDelta = 0) =>
      up ? value - Math.abs(minDelta) > reference : value + Math.abs(minDelta) < reference,
    read(logs, training, consequence) {
      if (monitor in logs) return logs[monitor];
      if (!warned) {
        training.print(`${monitor} is not available (${Object.keys(logs).join(', ')}): ${consequence}`);
      }
      warned = true;
      return null;
    },
  };
}
