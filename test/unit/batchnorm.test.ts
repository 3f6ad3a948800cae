import * as tf from '@tensorflow/tfjs';
import { beforeAll, describe, expect, it } from 'vitest';
import { losses } from '../../shared/losses.js';
import { createEagerProgram } from '../../worker/compute/eager-program.js';
import { BatchNormalization } from '../../worker/compute/layers/batch-normalization.js';
import { channelMean } from '../../worker/compute/layers/channel-mean.js';
import { normalizeByBatch } from '../../worker/compute/layers/normalize.js';
import { registerLayers } from '../../worker/compute/layers/register.js';
import { float32, largestDifference, normal, randomizeWeights, runBatch, specOf } from './eager-fixture.js';

beforeAll(async () => {
  await tf.setBackend('cpu');
});

const outputs = [{ name: 'out', loss: losses.meanSquaredError(), lossWeight: 1 }];

/** The definition, op by op, differentiated by TensorFlow.js. */
function byDefinition(x: tf.Tensor, gamma: tf.Tensor, beta: tf.Tensor, axes: number[]): tf.Tensor {
  const { mean, variance } = tf.moments(x, axes, true);
  return tf.add(tf.mul(tf.div(tf.sub(x, mean), tf.sqrt(tf.add(variance, 1e-3))), gamma), beta);
}

describe('the closed-form gradient of batch normalisation', () => {
  it.each([[[6, 3]], [[4, 5, 3]], [[3, 4, 5, 3]], [[2, 2, 3, 2, 3]]])(
    'agrees with differentiating the definition, for shape %j',
    (shape) => {
      const x = tf.tensor(normal(shape, 1).data, shape).mul(1.7).add(0.9);
      const gamma = tf.tensor(normal([3], 2).data);
      const beta = tf.tensor(normal([3], 3).data);
      const dy = tf.tensor(normal(shape, 4).data, shape);
      const axes = shape.slice(0, -1).map((_, axis) => axis);
      const ours = tf.valueAndGrads((...[x, gamma, beta]: tf.Tensor[]) =>
        normalizeByBatch(x, gamma, beta, 1e-3, () => {}),
      )([x, gamma, beta], dy);
      const expected = tf.valueAndGrads((...[x, gamma, beta]: tf.Tensor[]) =>
        byDefinition(x, gamma, beta, axes),
      )([x, gamma, beta], dy);
      expect(largestDifference(ours.value.dataSync(), expected.value.dataSync())).toBeLessThan(1e-5);
      ours.grads.forEach((gradient, index) => {
        expect(gradient.shape).toEqual(expected.grads[index].shape);
        expect(largestDifference(gradient.dataSync(), expected.grads[index].dataSync())).toBeLessThan(1e-5);
      });
    },
  );
});

describe('the mean per channel', () => {
  it('stays within a few roundings of float64 over many positions', async () => {
    const shape = [2, 61, 97, 3];
    const { data } = normal(shape, 9);
    const shifted = Float32Array.from(data, (value) => value + 10);
    const expected = [0, 0, 0];
    shifted.forEach((value, i) => {
      expected[i % 3] += value / (shifted.length / 3);
    });
    const mean = await channelMean(tf.tensor(shifted, shape)).data();
    expect(largestDifference(mean, expected)).toBeLessThan(10 * 10 * 2 ** -24);
  });
});

function convolutional(options: object = {}): tf.Sequential {
  return tf.sequential({
    layers: [
      tf.layers.conv2d({ filters: 3, kernelSize: 2, inputShape: [4, 4, 2], name: 'conv' }),
      tf.layers.batchNormalization({ name: 'bn', ...options }),
      tf.layers.flatten(),
      tf.layers.dense({ units: 1 }),
    ],
  });
}

describe('BatchNormalization in a shard', () => {
  it('sends moments that merge to the float64 statistics of the whole batch', async () => {
    const model = convolutional();
    const flat = randomizeWeights(model, 2);
    const { program, manifest } = await createEagerProgram(specOf(model, { outputs }), new Map());
    program.setWeights(flat);
    const x = normal([11, 4, 4, 2], 1);
    const { moments } = await runBatch(program, 'train', { x: [x], y: [normal([11, 1], 2)] }, 4);
    const conv = model.getLayer('conv').apply(tf.tensor(x.data, [11, 4, 4, 2])) as tf.Tensor;
    const values = conv.dataSync();
    expect(moments).toHaveLength(1);
    expect(manifest.batchNorms[moments[0].batchNorm].layer).toBe('bn');
    expect(moments[0].count).toBe(11 * 3 * 3);
    for (let channel = 0; channel < 3; channel++) {
      const ofChannel = Array.from(values).filter((_, i) => i % 3 === channel);
      const mean = ofChannel.reduce((sum, value) => sum + value, 0) / ofChannel.length;
      const m2 = ofChannel.reduce((sum, value) => sum + (value - mean) ** 2, 0);
      expect(Math.abs(moments[0].mean[channel] - mean)).toBeLessThan(1e-6);
      expect(Math.abs(moments[0].m2[channel] - m2) / m2).toBeLessThan(1e-6);
    }
  });

  it('at one shard gives the gradient of the stock layer', async () => {
    const model = convolutional();
    const flat = randomizeWeights(model, 2);
    const { program, manifest } = await createEagerProgram(specOf(model, { outputs }), new Map());
    program.setWeights(flat);
    const x = normal([6, 4, 4, 2], 1);
    const y = normal([6, 1], 2);
    const { gradient } = await runBatch(program, 'train', { x: [x], y: [y] }, 1);
    const { grads } = tf.variableGrads(() => {
      const predictions = model.apply(tf.tensor(x.data, [6, 4, 4, 2]), { training: true }) as tf.Tensor;
      return tf.losses.meanSquaredError(tf.tensor(y.data, [6, 1]), predictions);
    });
    manifest.weights.forEach(({ trainable, offset, size }, index) => {
      if (!trainable) return;
      const expected = grads[model.weights[index].name].dataSync();
      expect(largestDifference(gradient.subarray(offset, offset + size), expected)).toBeLessThan(1e-5);
    });
  });

  it('uses the running statistics and emits nothing when it, or a model around it, is frozen', async () => {
    const inner = tf.sequential({
      name: 'inner',
      layers: [tf.layers.batchNormalization({ name: 'bn', inputShape: [3] })],
    });
    inner.trainable = false;
    const nested = tf.sequential({ layers: [inner, tf.layers.dense({ units: 1 })] });
    const direct = tf.sequential({
      layers: [
        tf.layers.batchNormalization({ inputShape: [3], trainable: false }),
        tf.layers.dense({ units: 1 }),
      ],
    });
    for (const model of [nested, direct]) {
      const { program } = await createEagerProgram(specOf(model, { outputs }), new Map());
      program.setWeights(randomizeWeights(model, 4));
      const batch = { x: [normal([4, 3], 1)], y: [normal([4, 1], 2)] };
      const trained = await runBatch(program, 'train', batch, 1);
      const evaluated = await runBatch(program, 'evaluate', batch, 1);
      expect(trained.moments).toHaveLength(0);
      expect(trained.gradient).toHaveLength(4);
      expect(trained.sums).toEqual(evaluated.sums);
    }
  });

  it('in inference follows the definition, also on another axis and without scale or center', async () => {
    const configs = [{}, { axis: 1 }, { axis: 2, scale: false }, { center: false }, { epsilon: 0.1 }];
    for (const { axis = 3, epsilon = 1e-3, ...options } of configs as { axis?: number; epsilon?: number }[]) {
      const model = convolutional({ axis, epsilon, ...options });
      const flat = randomizeWeights(model, 5);
      const { program } = await createEagerProgram(specOf(model, { outputs }), new Map());
      program.setWeights(flat);
      const x = normal([3, 4, 4, 2], 1);
      const [prediction] = await program.predict([x]);
      const [conv, bn, , dense] = model.layers;
      const shape = [1, 1, 1, 1];
      shape[axis] = 3;
      const weightOf = (name: string, otherwise: number) => {
        const weight = bn.weights.find((candidate) => candidate.originalName.endsWith(name));
        return weight === undefined ? tf.fill(shape, otherwise) : weight.read().reshape(shape);
      };
      const values = conv.apply(tf.tensor(x.data, [3, 4, 4, 2])) as tf.Tensor;
      const deviation = weightOf('moving_variance', 1).add(epsilon).sqrt();
      const normalized = values.sub(weightOf('moving_mean', 0)).div(deviation);
      const output = normalized.mul(weightOf('gamma', 1)).add(weightOf('beta', 0));
      const expected = dense.apply(output.reshape([3, 27])) as tf.Tensor;
      expect(prediction.shape).toEqual([3, 1]);
      expect(largestDifference(prediction.data, expected.dataSync())).toBeLessThan(1e-5);
    }
  });

  it('trains without scale and without center, which the stock layer cannot', async () => {
    const x = normal([8, 3], 1);
    const model = tf.sequential({
      layers: [tf.layers.batchNormalization({ inputShape: [3], scale: false, center: false })],
    });
    const { program } = await createEagerProgram(specOf(model, { outputs }), new Map());
    const { sums } = await runBatch(
      program,
      'train',
      { x: [x], y: [float32([8, 3], new Array(24).fill(0))] },
      1,
    );
    // The mean square of normalised values is variance / (variance + epsilon).
    let expected = 0;
    for (let channel = 0; channel < 3; channel++) {
      const values = Array.from(x.data).filter((_, i) => i % 3 === channel);
      const mean = values.reduce((sum, value) => sum + value, 0) / 8;
      const variance = values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / 8;
      expected += variance / (variance + 1e-3) / 3;
    }
    expect(sums[1] / sums[2]).toBeCloseTo(expected, 5);
  });

  it('normalises the axis it is told to', async () => {
    registerLayers();
    const layer = new BatchNormalization({ axis: 1 });
    const x = tf.tensor(normal([5, 2, 3], 1).data, [5, 2, 3]);
    const y = layer.apply(x, { training: true }) as tf.Tensor;
    const { mean, variance } = tf.moments(y, [0, 2]);
    expect(y.shape).toEqual([5, 2, 3]);
    expect(largestDifference(mean.dataSync(), [0, 0])).toBeLessThan(1e-6);
    expect(largestDifference(variance.dataSync(), [1, 1])).toBeLessThan(5e-3);
  });

  it('emits one entry per call where it is called several times', async () => {
    const wrapped = tf.sequential({
      layers: [
        tf.layers.timeDistributed({
          layer: tf.layers.batchNormalization({ name: 'bn' }),
          inputShape: [3, 2],
        }),
      ],
    });
    const { program, manifest } = await createEagerProgram(specOf(wrapped, { outputs }), new Map());
    program.setWeights(randomizeWeights(wrapped, 1));
    const x = normal([8, 3, 2], 1);
    const { moments } = await runBatch(program, 'train', { x: [x], y: [normal([8, 3, 2], 2)] }, 2);
    expect(manifest.batchNorms).toHaveLength(1);
    expect(moments.map(({ batchNorm, count }) => [batchNorm, count])).toEqual([
      [0, 8],
      [0, 8],
      [0, 8],
    ]);
    moments.forEach(({ mean }, time) => {
      const values = Array.from(x.data).filter((_, i) => Math.floor(i / 2) % 3 === time);
      const expected = [0, 1].map((channel) => {
        return values.filter((_, i) => i % 2 === channel).reduce((sum, value) => sum + value, 0) / 8;
      });
      expect(largestDifference(mean, expected)).toBeLessThan(1e-6);
    });
  });

  it('names the layer that has fewer than two values per channel', async () => {
    const model = tf.sequential({
      layers: [tf.layers.batchNormalization({ name: 'tight', inputShape: [3] })],
    });
    const { program } = await createEagerProgram(specOf(model, { outputs }), new Map());
    const batch = { x: [normal([4, 3], 1)], y: [normal([4, 3], 2)] };
    await expect(runBatch(program, 'train', batch, 4)).rejects.toMatchObject({
      code: 'BATCHNORM_TOO_FEW',
      message: expect.stringContaining('tight'),
    });
  });

  it('keeps the names, order and config of the stock layer', async () => {
    const model = convolutional({ momentum: 0.9, gammaRegularizer: 'l1l2', betaConstraint: 'nonNeg' });
    const { manifest } = await createEagerProgram(specOf(model, { outputs }), new Map());
    const names = manifest.weights.map(({ name }) => name).filter((name) => name.startsWith('bn'));
    expect(names).toEqual(['bn/gamma', 'bn/beta', 'bn/moving_mean', 'bn/moving_variance']);
    expect(manifest.batchNorms).toMatchObject([{ layer: 'bn', momentum: 0.9, channels: 3 }]);
    const stock = model.getLayer('bn').getConfig();
    const copy = structuredClone(stock);
    expect(BatchNormalization.fromConfig(BatchNormalization, copy).getConfig()).toEqual(stock);
  });
});
