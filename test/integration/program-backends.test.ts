import * as tf from '@tensorflow/tfjs';
import { beforeAll, describe, expect, it } from 'vitest';
import type { BackendName } from '../../shared/backends.js';
import { losses } from '../../shared/losses.js';
import { metrics } from '../../shared/metrics/metrics.js';
import type { ShardPartial } from '../../shared/partial.js';
import { loadBackend } from '../../worker/backend/select.js';
import { createEagerProgram } from '../../worker/compute/eager-program.js';
import { prepareTensorflow, tensorflowSupported } from '../fixtures/tensorflow.mjs';
import {
  classes,
  largestDifference,
  normal,
  randomizeWeights,
  runBatch,
  specOf,
} from '../unit/eager-fixture.js';

function network(): tf.Sequential {
  return tf.sequential({
    layers: [
      tf.layers.conv2d({ filters: 4, kernelSize: 3, useBias: false, inputShape: [8, 8, 1] }),
      tf.layers.batchNormalization(),
      tf.layers.reLU(),
      tf.layers.conv2d({ filters: 6, kernelSize: 3, activation: 'relu' }),
      tf.layers.maxPooling2d({ poolSize: 2 }),
      tf.layers.dropout({ rate: 0.25 }),
      tf.layers.flatten(),
      tf.layers.dense({ units: 8, activation: 'relu', kernelRegularizer: 'l1l2' }),
      tf.layers.dense({ units: 5, activation: 'softmax' }),
    ],
  });
}

async function trainOn(backend: BackendName): Promise<ShardPartial[]> {
  await loadBackend({ backend, threads: 1 });
  const model = network();
  const spec = specOf(model, {
    outputs: [{ name: 'out', loss: losses.sparseCategoricalCrossentropy(), lossWeight: 1 }],
    metrics: [{ output: 0, metric: metrics.accuracy(), weighted: false, label: 'accuracy' }],
  });
  const { program } = await createEagerProgram(spec, new Map());
  program.setWeights(randomizeWeights(model, 3));
  const batch = { x: [normal([12, 8, 8, 1], 1)], y: [classes([12], 5, 2)] };
  const before = tf.memory().numTensors;
  const partials = [await runBatch(program, 'train', batch, 4), await runBatch(program, 'train', batch, 4)];
  expect(tf.memory().numTensors).toBe(before);
  return partials;
}

describe('a shard of the CNN', () => {
  let expected: ShardPartial;

  beforeAll(async () => {
    [expected] = await trainOn('cpu');
  });

  async function expectAgreement(backend: BackendName): Promise<void> {
    const [first, second] = await trainOn(backend);
    expect(second).toEqual(first);
    const largest = first.gradient.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
    expect(largestDifference(first.gradient, expected.gradient) / largest).toBeLessThan(1e-5);
    expect(largestDifference(first.moments[0].mean, expected.moments[0].mean)).toBeLessThan(1e-5);
    expect(largestDifference(first.sums, expected.sums)).toBeLessThan(1e-4);
  }

  it('repeats its bits on wasm and agrees with the cpu backend', () => expectAgreement('wasm'));

  it.runIf(tensorflowSupported)(
    'repeats its bits on TensorFlow and agrees with the cpu backend',
    async () => {
      process.env.LOCKSTEP_TFJS_NODE = await prepareTensorflow();
      await expectAgreement('tensorflow');
    },
  );
});
