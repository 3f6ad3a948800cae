import { LockstepError } from '../../shared/errors.js';
import type { Callback } from './callback.js';

/**
 * Sets the learning rate at the beginning of every epoch and logs it as `learning_rate`. Semantics:
 * `keras.callbacks.LearningRateScheduler`. A rate that depends on the step is a schedule of the optimizer instead.
 * @param schedule gives the rate of an epoch, counted from 0, from the present one
 */
export function learningRateScheduler(
  schedule: (epoch: number, learningRate: number) => number,
  { verbose = false }: { readonly verbose?: boolean } = {},
): Callback {
  return {
    name: 'learningRateScheduler',

    onEpochBegin(epoch, training) {
      const rate = schedule(epoch, training.learningRate);
      if (typeof rate !== 'number' || !Number.isFinite(rate)) {
        throw new LockstepError('BAD_OPTION', `the learning rate of epoch ${epoch} is ${rate}`, {
          hint: 'Return a finite number from the function given to learningRateScheduler.',
        });
      }
      training.learningRate = rate;
      if (verbose) training.print(`Epoch ${epoch + 1}: learning rate ${rate}`);
    },

    onEpochEnd(_epoch, logs, training) {
      logs.learning_rate = training.learningRate;
    },
  };
}
