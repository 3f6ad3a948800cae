import type { Callback } from '../../../coordinator/callbacks/callback.js';
import type { CoordinatorLife } from './coordinator-life.js';
import { averageDecay } from './reference-callbacks.js';
import { manifest } from './tiny-job.js';
import type { World } from './world.js';

/**
 * A callback of the user's own, with plain data and a tensor for its state, that takes its time after each batch. It
 * also tells the simulation what the trainer is at; it stands first among the callbacks.
 */
export function journal(life: CoordinatorLife, world: World): Callback {
  let batches = 0;
  let total = 0;
  let average = new Float32Array(manifest.totalSize);
  return {
    name: 'journal',

    onTrainBatchBegin() {
      if (life.process.isAlive) life.stage = 'round';
    },

    async onTrainBatchEnd(_batch, logs, training) {
      batches += 1;
      total += logs.loss;
      let at = 0;
      for (const weight of training.getWeights()) {
        for (const value of weight) {
          average[at] = averageDecay * average[at] + (1 - averageDecay) * value;
          at += 1;
        }
      }
      if (world.scenario.callbackMs > 0) await life.process.sleep(world.scenario.callbackMs);
    },

    onTestBegin() {
      if (life.process.isAlive) life.stage = 'validating';
    },

    onTestEnd() {
      if (life.process.isAlive) life.stage = 'committing';
    },

    onTrainEnd() {
      if (life.process.isAlive) life.stage = 'ended';
    },

    saveState: () => ({ values: { batches, total }, tensors: { average } }),

    loadState({ values, tensors }) {
      batches = Number(values.batches);
      total = Number(values.total);
      average = tensors?.average.slice() ?? average;
    },
  };
}
