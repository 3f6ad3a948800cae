import { fileURLToPath } from 'node:url';
import type * as tf from '@tensorflow/tfjs';
import { describe, it } from 'vitest';
import { resnet20 } from '../../bench/models.js';
import type { Dataset } from '../../coordinator/data/dataset.js';
import { loadJob } from '../../coordinator/load-job.js';
import { adam, sgd } from '../../coordinator/optimizer/configs.js';
import type { OptimizerConfig } from '../../coordinator/optimizer/optimizer.js';
import { Random } from '../../shared/random.js';
import { gatherRows, type HostTensor } from '../../shared/tensors.js';
import { type ZooModel, zoo } from '../unit/compiled-zoo.js';
import { classes, normal } from '../unit/eager-fixture.js';
import { expectSameCurves, seeded } from './same-curves.js';

/** Two shards a batch, and a last, smaller batch: of 6 rows, 4 and 2. */
const run = { batchSize: 4, shards: 2, epochs: 6, seed: 11, optimizer: adam({ learningRate: 0.003 }) };

function dataOf({ batch: { x, y, sampleWeights } }: Pick<ZooModel, 'batch'>): Dataset {
  const cut = (indices: Int32Array) => (tensor: HostTensor) => gatherRows(tensor, indices);
  return {
    length: x[0].shape[0],
    batch: (indices) => ({
      x: x.map(cut(indices)),
      y: y.map(cut(indices)),
      ...(sampleWeights && {
        sampleWeights: sampleWeights.map((weights) => weights && cut(indices)(weights)),
      }),
    }),
  };
}

describe('compiled and op by op, the same seed gives the same losses and metrics, epoch by epoch, for', () => {
  it.each(Object.entries(zoo))('%s', async (_name, entry) => {
    const { build, losses, metrics = [] } = entry;
    const data = dataOf(entry);
    const lossWeights = losses.map((_, index) => 1 - index / 4);
    await expectSameCurves('cpu', () => ({
      ...run,
      model: seeded(build),
      objective: { loss: losses, lossWeights, metrics },
      train: data,
      validation: data,
    }));
  });

  it('a ResNet-20', async () => {
    const batch = { x: [normal([20, 8, 8, 3], 1)], y: [classes([20], 10, 2)] };
    const train = dataOf({ batch });
    const loss = {
      kind: 'builtin',
      name: 'sparseCategoricalCrossentropy',
      params: { fromLogits: true },
    } as const;
    await expectSameCurves('wasm', () => ({
      ...run,
      model: seeded(() => resnet20(8)),
      objective: { loss, metrics: ['accuracy'] },
      optimizer: sgd({ learningRate: 0.01, momentum: 0.9 }),
      train,
      validation: train,
      batchSize: 12,
      // Rounding grows with every step through so many relus: to 1e-6 after these, to 3e-4 after two epochs more.
      epochs: 4,
    }));
  });

  it("a layer, a loss and a metric of a job file's own", async () => {
    const loaded = await loadJob(fileURLToPath(new URL('../fixtures/jobs/custom.ts', import.meta.url)));
    const { job } = loaded;
    const rng = new Random(0);
    const context = { dataDir: null, seed: run.seed, rng };
    const { train } = await job.data(context);
    await expectSameCurves(
      'cpu',
      () => ({
        ...run,
        model: seeded(() => job.model(context) as tf.LayersModel),
        objective: job,
        optimizer: job.optimizer as OptimizerConfig,
        train,
        batchSize: job.batchSize ?? null,
      }),
      loaded,
    );
  });
});
