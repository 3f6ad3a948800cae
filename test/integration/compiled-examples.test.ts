import { join } from 'node:path';
import type * as tf from '@tensorflow/tfjs';
import { Random, subset } from 'lockstep';
import { describe, it } from 'vitest';
import type { Dataset } from '../../coordinator/data/dataset.js';
import type { Job } from '../../coordinator/job.js';
import type { OptimizerConfig } from '../../coordinator/optimizer/optimizer.js';
import digits from '../../examples/digits/job.js';
import housing from '../../examples/housing/job.js';
import cnn from '../../examples/mnist/job.js';
import mlp from '../../examples/mnist/mlp.js';
import { expectSameCurves, seeded } from '../simulation/same-curves.js';

/** The folder with mnist/ and housing/, which the project does not contain. */
const realData = process.env.LOCKSTEP_DATA;

/** The example's own model, data, loss, metrics and optimizer, for two epochs of two steps. */
async function expectSameCurvesOf(job: Job, dataDir: string | null): Promise<void> {
  const context = { dataDir, seed: 0, rng: new Random(0) };
  const { train, validation } = await job.data(context);
  await expectSameCurves('wasm', () => ({
    model: seeded(() => job.model(context) as tf.LayersModel),
    objective: job,
    optimizer: job.optimizer as OptimizerConfig,
    train: subset(train as Dataset, 0, 24),
    validation: subset(validation as Dataset, 0, 8),
    batchSize: 12,
    shards: 2,
    epochs: 2,
  }));
}

describe('compiled and op by op, the same seed gives the same losses and metrics, epoch by epoch, for', () => {
  it('the digits of the demo', () => expectSameCurvesOf(digits, null));

  describe.runIf(realData)('real data:', () => {
    it.each([
      ['MNIST, convolutional', cnn, 'mnist'],
      ['MNIST, fully connected', mlp, 'mnist'],
      ['housing, wide and deep', housing, 'housing'],
    ])('%s', (_name, job, folder) => expectSameCurvesOf(job, join(realData as string, folder)));
  });
});
