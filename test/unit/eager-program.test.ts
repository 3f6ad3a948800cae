import * as tf from '@tensorflow/tfjs';
import { beforeAll, describe, expect, it } from 'vitest';
import { LockstepError } from '../../shared/errors.js';
import { losses } from '../../shared/losses.js';
import { metrics } from '../../shared/metrics/metrics.js';
import { RunningLogs } from '../../shared/sums.js';
import { createEagerProgram } from '../../worker/compute/eager-program.js';
import { explainOutOfMemory } from '../../worker/compute/out-of-memory.js';
import {
  classes,
  float32,
  type HostBatch,
  largestDifference,
  normal,
  randomizeWeights,
  runBatch,
  specOf,
} from './eager-fixture.js';

beforeAll(async () => {
  await tf.setBackend('cpu');
});

const mse = [{ name: 'out', loss: losses.meanSquaredError(), lossWeight: 1 }];

/** A layer that counts its calls in a weight, which no trainer could merge. */
class CallCounter extends tf.layers.Layer {
  static readonly className = 'CallCounter';
  #count: tf.LayerVariable | null = null;

  override build(): void {
    this.#count = this.addWeight('count', [1], 'float32', tf.initializers.zeros(), undefined, false);
    this.built = true;
  }

  override call(inputs: tf.Tensor | tf.Tensor[]): tf.Tensor {
    const [input] = Array.isArray(inputs) ? inputs : [inputs];
    this.#count?.write(tf.add(this.#count.read(), 1));
    return input;
  }
}
tf.serialization.registerClass(CallCounter);

class Later extends tf.layers.Layer {
  static readonly className = 'Later';

  override computeOutputShape(inputShape: tf.Shape): tf.Shape {
    return inputShape;
  }

  override call(inputs: tf.Tensor[]): tf.Tensor {
    const later: unknown = Promise.resolve(inputs[0]);
    return later as tf.Tensor;
  }
}
tf.serialization.registerClass(Later);

function everything(): { model: tf.LayersModel; batch: HostBatch } {
  const image = tf.input({ shape: [5, 5, 1], name: 'image' });
  const tokens = tf.input({ shape: [4], name: 'tokens', dtype: 'int32' });
  const conv = tf.layers.conv2d({ filters: 2, kernelSize: 3, activation: 'relu' });
  const seen = tf.layers
    .flatten()
    .apply(tf.layers.batchNormalization().apply(conv.apply(image))) as tf.SymbolicTensor;
  const embedded = tf.layers.embedding({ inputDim: 5, outputDim: 3 }).apply(tokens);
  const read = tf.layers
    .lstm({ units: 2, dropout: 0.3, recurrentDropout: 0.3, kernelRegularizer: 'l1l2' })
    .apply(embedded) as tf.SymbolicTensor;
  const both = tf.layers.concatenate().apply([seen, read]) as tf.SymbolicTensor;
  const dropped = tf.layers.dropout({ rate: 0.3, seed: 1 }).apply(both) as tf.SymbolicTensor;
  const digit = tf.layers.dense({ units: 3, activation: 'softmax', name: 'digit' }).apply(dropped);
  const sign = tf.layers.dense({ units: 1, activation: 'sigmoid', name: 'sign' }).apply(dropped);
  const model = tf.model({
    inputs: [image, tokens],
    outputs: [digit as tf.SymbolicTensor, sign as tf.SymbolicTensor],
  });
  const pixels = Uint8Array.from({ length: 8 * 25 }, (_, i) => (i * 37) % 256);
  const batch = {
    x: [{ dtype: 'uint8' as const, shape: [8, 5, 5, 1], data: pixels }, classes([8, 4], 5, 1)],
    y: [
      classes([8], 3, 2),
      { dtype: 'uint8' as const, shape: [8], data: Uint8Array.of(0, 1, 1, 0, 1, 0, 0, 1) },
    ],
    sampleWeights: [null, float32([8], [1, 2, 1, 1, 0, 1, 1, 1])],
  };
  return { model, batch };
}

const twoOutputs = [
  { name: 'digit', loss: losses.sparseCategoricalCrossentropy(), lossWeight: 1 },
  { name: 'sign', loss: losses.binaryCrossentropy(), lossWeight: 0.5 },
];

const allMetrics = [
  { output: 0, metric: metrics.accuracy(), weighted: false, label: 'accuracy' },
  { output: 1, metric: metrics.auc(), weighted: true, label: 'auc' },
  { output: 1, metric: metrics.precision(), weighted: true, label: 'precision' },
];

describe('the eager program', () => {
  it('leaves no tensor behind, and repeats its bits', async () => {
    const { model, batch } = everything();
    const flat = randomizeWeights(model, 1);
    const spec = specOf(model, { outputs: twoOutputs, metrics: allMetrics });
    const { program } = await createEagerProgram(spec, new Map());
    program.setWeights(flat);
    const before = tf.memory().numTensors;
    const trained = await runBatch(program, 'train', batch, 4);
    await runBatch(program, 'evaluate', batch, 4);
    await program.predict(batch.x);
    program.setWeights(flat);
    expect(tf.memory().numTensors).toBe(before);
    expect(await runBatch(program, 'train', batch, 4)).toEqual(trained);
    expect(tf.memory().numTensors).toBe(before);
    expect(trained.moments).toHaveLength(1);
    expect(trained.scores.map(({ length }) => length)).toEqual([24]);
    expect(trained.gradient.every(Number.isFinite)).toBe(true);
  });

  it('evaluates and predicts in inference mode, as plain TensorFlow.js does', async () => {
    const { model, batch } = everything();
    const flat = randomizeWeights(model, 1);
    const spec = specOf(model, { outputs: twoOutputs, metrics: allMetrics });
    const { program } = await createEagerProgram(spec, new Map());
    program.setWeights(flat);
    const [image, tokens] = batch.x.map(({ data, shape, dtype }) =>
      tf.tensor(data, [...shape], dtype === 'int32' ? 'int32' : 'float32'),
    );
    const [digit, sign] = model.predict([image, tokens]) as tf.Tensor[];
    const predicted = await program.predict(batch.x);
    expect(largestDifference(predicted[0].data, digit.dataSync())).toBeLessThan(1e-6);
    expect(largestDifference(predicted[1].data, sign.dataSync())).toBeLessThan(1e-6);
    const { sums, scores, gradient } = await runBatch(program, 'evaluate', batch, 3);
    const logs = new RunningLogs(spec);
    logs.add(sums, scores, 8);
    const hits = (digit.argMax(-1).dataSync() as Int32Array).filter((best, i) => best === batch.y[0].data[i]);
    expect(logs.logs().digit_accuracy).toBe(hits.length / 8);
    expect(gradient).toHaveLength(0);
  });

  it('names the weight that a layer changed on its own', async () => {
    const model = tf.sequential({
      layers: [tf.layers.dense({ units: 1, inputShape: [2] }), new CallCounter({ name: 'counter' })],
    });
    const { program } = await createEagerProgram(specOf(model, { outputs: mse }), new Map());
    const batch = { x: [normal([4, 2], 1)], y: [normal([4, 1], 2)] };
    for (const kind of ['train', 'evaluate'] as const) {
      await expect(runBatch(program, kind, batch, 1)).rejects.toMatchObject({
        code: 'STATE_DRIFT',
        message: expect.stringContaining('counter/count'),
      });
    }
  });

  it('refuses a layer whose call is asynchronous', async () => {
    const model = tf.sequential({
      layers: [tf.layers.dense({ units: 1, inputShape: [2] }), new Later({ name: 'later' })],
    });
    const { program } = await createEagerProgram(specOf(model, { outputs: mse }), new Map());
    const batch = { x: [normal([4, 2], 1)], y: [normal([4, 1], 2)] };
    await expect(runBatch(program, 'train', batch, 1)).rejects.toThrow('later');
    expect(Math.random.toString()).toContain('native code');
  });

  it('runs a loss of the job and refuses one that yields a scalar', async () => {
    const model = tf.sequential({ layers: [tf.layers.dense({ units: 2, inputShape: [3] })] });
    const flat = randomizeWeights(model, 1);
    const batch = { x: [normal([6, 3], 1)], y: [normal([6, 2], 2)] };
    const custom = { kind: 'job' as const, key: 'loss', name: 'mine' };
    const spec = specOf(model, { outputs: [{ name: 'out', loss: custom, lossWeight: 1 }] });
    const run = async (loss: (t: tf.Tensor, p: tf.Tensor) => tf.Tensor) => {
      const { program } = await createEagerProgram(spec, new Map([['loss', loss]]));
      program.setWeights(flat);
      return runBatch(program, 'train', batch, 2);
    };
    const { program } = await createEagerProgram(specOf(model, { outputs: mse }), new Map());
    program.setWeights(flat);
    const builtin = await runBatch(program, 'train', batch, 2);
    const mine = await run((t, p) => tf.mean(tf.squaredDifference(t, p), -1));
    expect(largestDifference(mine.gradient, builtin.gradient)).toBeLessThan(1e-7);
    await expect(run((t, p) => tf.losses.meanSquaredError(t, p))).rejects.toMatchObject({
      code: 'JOB_INVALID',
    });
  });

  it('says which shapes and labels do not fit', async () => {
    const model = tf.sequential({
      layers: [tf.layers.dense({ units: 3, activation: 'softmax', inputShape: [2], name: 'out' })],
    });
    const sparse = [{ name: 'out', loss: losses.sparseCategoricalCrossentropy(), lossWeight: 1 }];
    const { program } = await createEagerProgram(specOf(model, { outputs: sparse }), new Map());
    const x = [normal([4, 2], 1)];
    const run = (batch: HostBatch) => runBatch(program, 'train', batch, 1);
    const labels = float32([4], [0, 1, 3, 2]);
    await expect(run({ x, y: [labels] })).rejects.toMatchObject({ code: 'LABEL_OUT_OF_RANGE' });
    await expect(run({ x, y: [normal([4, 3], 1)] })).rejects.toMatchObject({ code: 'SHAPE_MISMATCH' });
    await expect(run({ x: [normal([4, 5], 1)], y: [labels] })).rejects.toMatchObject({
      code: 'SHAPE_MISMATCH',
    });
  });

  it('explains running out of memory, and nothing else', () => {
    const explained = explainOutOfMemory(new RangeError('Array buffer allocation failed'));
    expect(explained).toMatchObject({
      code: 'WORKER_OUT_OF_MEMORY',
      hint: expect.stringContaining('--shards'),
    });
    const other = new TypeError('x is not a function');
    expect(explainOutOfMemory(other)).toBe(other);
    const coded = new LockstepError('NOT_FINITE', 'out of memory', { hint: '' });
    expect(explainOutOfMemory(coded)).toBe(coded);
  });
});
