import { setImmediate } from 'node:timers/promises';
import type * as tf from '@tensorflow/tfjs';
import { describe, expect, it } from 'vitest';
import type { Callback, Training } from '../../coordinator/callbacks/callback.js';
import type { ClusterAccess } from '../../coordinator/cluster.js';
import { evaluateModel, predictModel } from '../../coordinator/loop/evaluate-model.js';
import { InProcessCluster } from './in-process-cluster.js';
import { batchSize, plainModel, tinyData, train } from './tiny-training.js';

const data = tinyData(2 * batchSize);

type Measure = (access: ClusterAccess, callbacks: Callback) => Promise<unknown>;

const measures: [what: string, measure: Measure][] = [
  [
    'a validation',
    async (access, callbacks) => {
      const { outcome } = await train({ access }, { epochs: 1, validation: data, callbacks: [callbacks] });
      return outcome.history.history.val_loss;
    },
  ],
  [
    'an evaluation',
    (access, callbacks) =>
      evaluateModel(access, plainModel(), data, { batchSize, loss: 'meanSquaredError', callbacks }),
  ],
  [
    'a prediction',
    async (access, callbacks) => {
      const predicted = await predictModel(access, plainModel(), data, { batchSize, callbacks });
      return (predicted as tf.Tensor).array();
    },
  ],
];

describe('weights that a callback sets in the middle', () => {
  it.each(measures)('are not those of %s, on a worker that comes then either', async (_what, measure) => {
    const measured = async (comes: boolean): Promise<unknown> => {
      const cluster = new InProcessCluster({ workers: 1 });
      let hasSet = false;
      const set = async (batch: number, training: Training): Promise<void> => {
        if (batch > 0) return;
        hasSet = true;
        // Until the line has let go of the weights that it sent.
        await setImmediate();
        const zeros = training.getWeights().map(({ length }) => new Float32Array(length));
        for (let time = 0; time < 2; time++) training.setWeights(zeros);
        if (!comes) return;
        cluster.join();
        await expect.poll(() => cluster.access.conductor.readyCount).toBe(2);
      };
      const callback: Callback = {
        name: 'setter',
        onTestBatchEnd: (batch, _logs, training) => set(batch, training),
        onPredictBatchEnd: set,
      };
      try {
        const result = await measure(cluster.access, callback);
        expect(hasSet).toBe(true);
        return result;
      } finally {
        cluster.close();
      }
    };
    const undisturbed = await measured(false);
    expect(await measured(true)).toEqual(undisturbed);
  });
});
