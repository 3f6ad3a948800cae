import { z } from 'zod';
import type { Callback } from './callback.js';
import { float64, tensorOf, valuesOf } from './callback-state.js';
import { type MonitorOptions, monitorOf } from './monitor.js';

export interface EarlyStoppingOptions extends MonitorOptions {
  /** A smaller change does not count as an improvement. Default 0. */
  readonly minDelta?: number;
  /** Epochs without improvement after which training stops. Default 0. */
  readonly patience?: number;
  /** Training stops as well if the monitor does not improve on this. */
  readonly baseline?: number;
  /** Whether the model ends with the weights of its best epoch. Default false: with those of the last. */
  readonly restoreBestWeights?: boolean;
  /** Epochs at the beginning that do not count. Default 0. */
  readonly startFromEpoch?: number;
  /** Whether to say when it stops and restores. Default false. */
  readonly verbose?: boolean;
}

const savedValues = z.strictObject({
  wait: z.int(),
  best: float64,
  bestEpoch: z.int(),
  stoppedEpoch: z.int().nullable(),
  weights: z.int().nullable(),
});

/**
 * Stops training when the monitor has stopped improving. Semantics: `keras.callbacks.EarlyStopping`
 * (keras/src/callbacks/early_stopping.py). As there, the best weights are restored at the end of training
 * whatever ended it, and the first epoch alone never stops it.
 * @throws LockstepError BAD_OPTION
 */
export function earlyStopping(options: EarlyStoppingOptions = {}): Callback {
  const { minDelta = 0, patience = 0, baseline, restoreBestWeights = false, startFromEpoch = 0 } = options;
  const verbose = options.verbose ?? false;
  const monitor = monitorOf(options);
  let wait = 0;
  let best = monitor.worst;
  let bestEpoch = 0;
  let stoppedEpoch: number | null = null;
  let bestWeights: readonly Float32Array[] | null = null;

  return {
    name: 'earlyStopping',

    onTrainBegin() {
      wait = 0;
      best = monitor.worst;
      bestEpoch = 0;
      stoppedEpoch = null;
      bestWeights = null;
    },

    onEpochEnd(epoch, logs, training) {
      const current = monitor.read(logs, training, 'early stopping does nothing');
      if (current === null || epoch < startFromEpoch) return;
      if (restoreBestWeights && bestWeights === null) {
        bestWeights = training.getWeights();
        bestEpoch = epoch;
      }
      wait++;
      if (monitor.improves(current, best, minDelta)) {
        best = current;
        bestEpoch = epoch;
        if (restoreBestWeights) bestWeights = training.getWeights();
        // An epoch that is the best so far, but not better than the baseline, goes on waiting.
        if (baseline === undefined || monitor.improves(current, baseline, minDelta)) wait = 0;
        return;
      }
      if (wait >= patience && epoch > 0) {
        stoppedEpoch = epoch;
        training.stopTraining = true;
      }
    },

    onTrainEnd(_logs, training) {
      if (verbose && stoppedEpoch !== null) training.print(`Epoch ${stoppedEpoch + 1}: early stopping`);
      if (bestWeights === null) return;
      if (verbose) training.print(`Restoring the weights of the best epoch, ${bestEpoch + 1}`);
      training.setWeights(bestWeights);
    },

    saveState: () => ({
      values: { wait, best, bestEpoch, stoppedEpoch, weights: bestWeights?.length ?? null },
      tensors: Object.fromEntries((bestWeights ?? []).map((weight, index) => [`best/${index}`, weight])),
    }),

    loadState(state) {
      const saved = valuesOf('earlyStopping', savedValues, state);
      ({ wait, best, bestEpoch, stoppedEpoch } = saved);
      bestWeights =
        saved.weights === null
          ? null
          : Array.from({ length: saved.weights }, (_, index) =>
              tensorOf('earlyStopping', `best/${index}`, state),
            );
    },
  };
}
