import type { Callback } from './callback.js';

/** Stops training after a batch whose loss is NaN or infinite. Semantics: `keras.callbacks.TerminateOnNaN`. */
export function terminateOnNaN(): Callback {
  return {
    name: 'terminateOnNaN',

    onTrainBatchEnd(batch, logs, training) {
      if (!('loss' in logs) || Number.isFinite(logs.loss)) return;
      training.print(`Batch ${batch}: the loss is ${logs.loss}, training stops`);
      training.stopTraining = true;
    },
  };
}
