import { z } from 'zod';
import { LockstepError } from '../../shared/errors.js';
import type { Callback } from './callback.js';
import { float64, valuesOf } from './callback-state.js';
import { type MonitorOptions, monitorOf } from './monitor.js';

export interface ReduceLROnPlateauOptions extends MonitorOptions {
  /** The rate is multiplied by this, below 1. Default 0.1. */
  readonly factor?: number;
  /** Epochs without improvement after which the rate is reduced. Default 10. */
  readonly patience?: number;
  /** A smaller change does not count as an improvement. Default 1e-4. */
  readonly minDelta?: number;
  /** Epochs after a reduction that do not count. Default 0. */
  readonly cooldown?: number;
  /** The rate never falls below this. Default 0. */
  readonly minLr?: number;
  /** Whether to say when it reduces the rate. Default false. */
  readonly verbose?: boolean;
}

const savedValues = z.strictObject({ wait: z.int(), best: float64, cooldownLeft: z.int() });

/**
 * Reduces the learning rate when the monitor has stopped improving, and logs it as `learning_rate`. Semantics:
 * `keras.callbacks.ReduceLROnPlateau` (keras/src/callbacks/reduce_lr_on_plateau.py).
 * @throws LockstepError BAD_OPTION
 */
export function reduceLROnPlateau(options: ReduceLROnPlateauOptions = {}): Callback {
  const { factor = 0.1, patience = 10, minDelta = 1e-4, cooldown = 0, minLr = 0, verbose = false } = options;
  const monitor = monitorOf(options);
  if (!(factor < 1)) {
    throw new LockstepError('BAD_OPTION', `reduceLROnPlateau has factor ${factor}, expected less than 1`, {
      hint: 'Use a factor such as 0.1 or 0.5.',
    });
  }
  let wait = 0;
  let best = monitor.worst;
  let cooldownLeft = 0;

  return {
    name: 'reduceLROnPlateau',

    onTrainBegin() {
      wait = 0;
      best = monitor.worst;
      cooldownLeft = 0;
    },

    onEpochEnd(epoch, logs, training) {
      logs.learning_rate = training.learningRate;
      const current = monitor.read(logs, training, 'the learning rate is not reduced');
      if (current === null) return;
      if (cooldownLeft > 0) {
        cooldownLeft--;
        wait = 0;
      }
      if (monitor.improves(current, best, minDelta)) {
        best = current;
        wait = 0;
        return;
      }
      if (cooldownLeft > 0 || ++wait < patience || training.learningRate <= minLr) return;
      training.learningRate = Math.max(training.learningRate * factor, minLr);
      cooldownLeft = cooldown;
      wait = 0;
      if (verbose) training.print(`Epoch ${epoch + 1}: learning rate reduced to ${training.learningRate}`);
    },

    saveState: () => ({ values: { wait, best, cooldownLeft } }),

    loadState(state) {
      ({ wait, best, cooldownLeft } = valuesOf('reduceLROnPlateau', savedValues, state));
    },
  };
}
