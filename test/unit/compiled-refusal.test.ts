import * as tf from '@tensorflow/tfjs';
import { beforeAll, describe, expect, it } from 'vitest';
import type { JobFunctions } from '../../shared/job-functions.js';
import type { FunctionRef } from '../../shared/program.js';
import { createCompiledProgram } from '../../worker/compute/compiled/compiled-program.js';
import { createEagerProgram } from '../../worker/compute/eager-program.js';
import { classes, float32, normal, randomizeWeights, runBatch, specOf } from './eager-fixture.js';

beforeAll(async () => {
  await tf.setBackend('cpu');
});

const mse: FunctionRef = { kind: 'builtin', name: 'meanSquaredError', params: {} };

async function compiledOf(model: tf.LayersModel, loss = mse, functions: JobFunctions = new Map()) {
  const weights = randomizeWeights(model, 3);
  const spec = specOf(model, { outputs: [{ name: 'output', loss, lossWeight: 1 }] });
  const { program } = await createCompiledProgram(spec, functions, 1);
  program.setWeights(weights);
  return { program, spec, weights };
}

/** Draws from TensorFlow.js's generator in training. */
class Jitter extends tf.layers.Layer {
  static readonly className = 'Jitter';

  override call(inputs: tf.Tensor | tf.Tensor[], { training }: { training?: boolean }): tf.Tensor {
    const input = Array.isArray(inputs) ? inputs[0] : inputs;
    return training ? tf.add(input, tf.randomUniform(input.shape)) : input;
  }
}

/** Runs a kernel that has no mapping. */
class LocalResponse extends tf.layers.Layer {
  static readonly className = 'LocalResponse';

  override call(inputs: tf.Tensor | tf.Tensor[]): tf.Tensor {
    const input = Array.isArray(inputs) ? inputs[0] : inputs;
    return tf.localResponseNormalization(input as tf.Tensor4D);
  }
}

tf.serialization.registerClass(Jitter);
tf.serialization.registerClass(LocalResponse);

const batch = { x: [normal([4, 3], 1)], y: [normal([4, 2], 2)] };
const dense = (config: object = {}) => tf.layers.dense({ units: 2, ...config });

describe('a step that cannot be compiled', () => {
  it('names the kernel without a mapping and the layer that runs it', async () => {
    const model = tf.sequential({
      layers: [new LocalResponse({ inputShape: [2, 2, 2], name: 'local' }), tf.layers.flatten(), dense()],
    });
    const { program } = await compiledOf(model);
    const images = { x: [normal([4, 2, 2, 2], 1)], y: batch.y };
    await expect(runBatch(program, 'train', images, 1)).rejects.toMatchObject({
      code: 'MODEL_UNSUPPORTED',
      message: expect.stringMatching(/LRN has no mapping \(layer local\)/),
    });
  });

  it('names the layer that draws random numbers of its own', async () => {
    const model = tf.sequential({
      layers: [new Jitter({ inputShape: [3] }), dense()],
    });
    const { program } = await compiledOf(model);
    await expect(runBatch(program, 'train', batch, 1)).rejects.toMatchObject({
      code: 'MODEL_UNSUPPORTED',
      message: expect.stringMatching(/draws random numbers.*\(layer .*Jitter/),
    });
    // Inference draws none.
    expect((await program.predict(batch.x))[0].shape).toEqual([4, 2]);
  });

  it('is one that reads what it computes', async () => {
    const reads = (yTrue: tf.Tensor, yPred: tf.Tensor) => {
      const scale = tf.max(yPred).dataSync()[0] > 0 ? 1 : 2;
      return tf.mul(scale, tf.mean(tf.squaredDifference(yTrue, yPred), -1));
    };
    const loss: FunctionRef = { kind: 'job', key: 'loss/reads', name: 'reads' };
    const model = tf.sequential({ layers: [dense({ inputShape: [3] })] });
    const { program } = await compiledOf(model, loss, new Map([['loss/reads', reads]]));
    await expect(runBatch(program, 'train', batch, 1)).rejects.toMatchObject({
      code: 'MODEL_UNSUPPORTED',
      message: expect.stringContaining('depends on values that it computes'),
    });
  });

  it('leaves backend, Math.random and tensors as they were', async () => {
    const model = tf.sequential({
      layers: [new Jitter({ inputShape: [3] }), dense()],
    });
    const { program } = await compiledOf(model);
    const random = Math.random;
    const { numTensors } = tf.memory();
    await runBatch(program, 'train', batch, 1).catch(() => {});
    expect([tf.getBackend(), Math.random, tf.memory().numTensors]).toEqual(['cpu', random, numTensors]);
  });
});

describe('a compiled step', () => {
  it('follows custom losses', async () => {
    const cubic = (yTrue: tf.Tensor, yPred: tf.Tensor) =>
      tf.mean(tf.pow(tf.abs(tf.sub(yTrue, yPred)), tf.scalar(3)), -1);
    const functions: JobFunctions = new Map([['loss/cubic', cubic]]);
    const model = tf.sequential({ layers: [dense({ inputShape: [3], activation: 'tanh' })] });
    const loss: FunctionRef = { kind: 'job', key: 'loss/cubic', name: 'cubic' };
    const { program, spec, weights } = await compiledOf(model, loss, functions);
    const { program: eager } = await createEagerProgram(spec, functions);
    eager.setWeights(weights);
    const expected = await runBatch(eager, 'train', batch, 2);
    const actual = await runBatch(program, 'train', batch, 2);
    actual.gradient.forEach((value, i) => {
      expect(value).toBeCloseTo(expected.gradient[i], 5);
    });
  });

  it('repeats its bits, draws other masks at another step, and keeps no tensor', async () => {
    const model = tf.sequential({
      layers: [dense({ inputShape: [3], units: 64 }), tf.layers.dropout({ rate: 0.5 }), dense()],
    });
    const { program } = await compiledOf(model);
    const gradientAt = async (step: number) => (await runBatch(program, 'train', batch, 2, step)).gradient;
    const first = await gradientAt(1);
    const { numTensors } = tf.memory();
    const other = await gradientAt(2);
    expect(await gradientAt(1)).toEqual(first);
    expect(other).not.toEqual(first);
    expect(tf.memory().numTensors).toBe(numTensors);
  });

  it('takes the weights of the last setWeights, and refuses labels that are out of range', async () => {
    const model = tf.sequential({ layers: [dense({ inputShape: [3], activation: 'softmax' })] });
    const sparse: FunctionRef = { kind: 'builtin', name: 'sparseCategoricalCrossentropy', params: {} };
    const { program, weights } = await compiledOf(model, sparse);
    const labelled = { x: batch.x, y: [classes([4], 2, 3)] };
    const before = (await runBatch(program, 'evaluate', labelled, 1)).sums;
    program.setWeights(weights.map((value) => value / 2));
    expect((await runBatch(program, 'evaluate', labelled, 1)).sums).not.toEqual(before);
    const wrong = { x: batch.x, y: [float32([4], [0, 1, 2, 0])] };
    await expect(runBatch(program, 'evaluate', wrong, 1)).rejects.toMatchObject({
      code: 'LABEL_OUT_OF_RANGE',
    });
  });
});
