import * as tf from '@tensorflow/tfjs';
import { afterEach, describe, expect, it } from 'vitest';
import type { Callback } from '../../coordinator/callbacks/callback.js';
import { evaluateModel, predictModel } from '../../coordinator/loop/evaluate-model.js';
import { fitModel } from '../../coordinator/loop/fit.js';
import { InProcessCluster, type InProcessClusterOptions } from './in-process-cluster.js';
import { features, tinyData } from './tiny-training.js';

const clusters: InProcessCluster[] = [];

function clusterOf(options: InProcessClusterOptions): InProcessCluster {
  const cluster = new InProcessCluster(options);
  clusters.push(cluster);
  return cluster;
}

afterEach(() => {
  for (const cluster of clusters.splice(0)) cluster.close();
});

/** A smooth model, so that plain TensorFlow.js gives the same up to rounding. */
function smooth(optimizer: tf.Optimizer | string = tf.train.momentum(0.05, 0.9)): tf.LayersModel {
  const initializer = (seed: number) => ({ kernelInitializer: tf.initializers.glorotUniform({ seed }) });
  const model = tf.sequential({
    layers: [
      tf.layers.dense({ units: 5, activation: 'tanh', inputShape: [features], ...initializer(1) }),
      tf.layers.dense({ units: 1, ...initializer(2) }),
    ],
  });
  model.compile({ optimizer, loss: 'meanSquaredError', metrics: ['mae'] });
  return model;
}

const count = 40;
const order = Int32Array.from({ length: count }, (_, i) => i);

async function arrays(): Promise<{ x: tf.Tensor; y: tf.Tensor }> {
  const { x, y } = await tinyData(count).batch(order);
  return { x: tf.tensor(x[0].data, [count, features]), y: tf.tensor(y[0].data, [count, 1]) };
}

const weightsOf = (model: tf.LayersModel): number[] =>
  model.getWeights().flatMap((weight) => Array.from(weight.dataSync()));

/** max |Δ| / max |w| */
function distance(actual: readonly number[], expected: readonly number[]): number {
  const largest = Math.max(...expected.map(Math.abs));
  return Math.max(...expected.map((value, i) => Math.abs(value - actual[i]))) / largest;
}

/** `fit` in TensorFlow.js freezes what it was given when nothing is shuffled: the same batches in the same order. */
const unshuffled = { batchSize: 12, epochs: 3, shuffle: false } as const;

describe('fit', () => {
  it.each([1, 4])('does what model.fit does, with %i shards on two workers', async (shards) => {
    const data = await arrays();
    const model = smooth();
    const { access } = clusterOf({ workers: 2 });
    const { history, epoch } = await fitModel(access, model, data, { ...unshuffled, shards });
    const plain = smooth();
    const expected = await plain.fit(data.x, data.y, unshuffled);
    expect(epoch).toEqual(expected.epoch);
    expect(distance(weightsOf(model), weightsOf(plain))).toBeLessThan(1e-5);
    for (const [i, loss] of (expected.history.loss as number[]).entries()) {
      expect(history.loss[i]).toBeCloseTo(loss, 4);
    }
  });

  it('continues the optimizer’s slots in a second fit, as model.fit does', async () => {
    const data = await arrays();
    const { access } = clusterOf({ workers: 2 });
    const twice = smooth();
    const options = { ...unshuffled, epochs: 2 };
    await fitModel(access, twice, data, options);
    await fitModel(access, twice, data, { ...options, epochs: 4, initialEpoch: 2 });
    const once = smooth();
    await fitModel(access, once, data, { ...options, epochs: 4 });
    expect(weightsOf(twice)).toEqual(weightsOf(once));
  });

  it('begins with empty slots when the model was compiled anew', async () => {
    const data = await arrays();
    const { access } = clusterOf({ workers: 1 });
    const model = smooth();
    const options = { ...unshuffled, epochs: 1 };
    await fitModel(access, model, data, options);
    const between = model.getWeights().map((weight) => weight.clone());
    model.compile({ optimizer: tf.train.momentum(0.05, 0.9), loss: 'meanSquaredError' });
    await fitModel(access, model, data, options);
    const fresh = smooth();
    fresh.setWeights(between);
    await fitModel(access, fresh, data, options);
    expect(weightsOf(model)).toEqual(weightsOf(fresh));
  });

  it('holds out the last rows for validation, before shuffling', async () => {
    const data = await arrays();
    const { access } = clusterOf({ workers: 2 });
    const model = smooth(tf.train.sgd(0.001));
    const { history } = await fitModel(access, model, data, { epochs: 1, validationSplit: 0.25 });
    const last = [data.x.slice([30], [10]), data.y.slice([30], [10])];
    const [loss, mae] = model.evaluate(last[0], last[1]) as tf.Scalar[];
    expect(history.val_loss[0]).toBeCloseTo(loss.dataSync()[0], 5);
    expect(history.val_mae[0]).toBeCloseTo(mae.dataSync()[0], 5);
  });

  it('takes validation data in a list, as model.fit does', async () => {
    const { x, y } = await arrays();
    const { access } = clusterOf({ workers: 2 });
    const options = { ...unshuffled, verbose: 0, validationData: [x, y] as const };
    const { history } = await fitModel(access, smooth(), { x, y }, options);
    const expected = await smooth().fit(x, y, { ...unshuffled, validationData: [x, y] });
    for (const [i, loss] of (expected.history.val_loss as number[]).entries()) {
      expect(history.val_loss[i]).toBeCloseTo(loss, 4);
    }
  });

  it.each([
    ['a mistyped option', {}, { epoch: 3 }, 'unknown option epoch', 'epochs'],
    ['sample weights among the options', {}, { sampleWeight: [1] }, 'sampleWeight', 'beside x and y'],
    ['a mistyped field of the data', { sampleWeights: [1] }, {}, 'sampleWeights', 'sampleWeight'],
    ['data without y', { y: undefined }, {}, 'x without y', '{ x, y }'],
    ['validation data without y', {}, { validationData: { x: [1] } }, 'validationData has x', '{ x, y }'],
    ['validation data of another kind', {}, { validationData: 0.2 }, 'validationData', '{ x, y }'],
  ])('refuses %s', async (_what, fields, options, message, hint) => {
    const { access } = clusterOf({ workers: 1 });
    const data = { ...(await arrays()), ...fields };
    await expect(fitModel(access, smooth(), data as never, options as never)).rejects.toMatchObject({
      code: 'BAD_OPTION',
      message: expect.stringContaining(message),
      hint: expect.stringContaining(hint),
    });
  });

  it('refuses data that are neither arrays nor a dataset', async () => {
    const { access } = clusterOf({ workers: 1 });
    const { x } = await arrays();
    for (const options of [{}, [1, 2]]) {
      // The second is what `fit(model, x, y)` comes to.
      await expect(fitModel(access, smooth(), x as never, options as never)).rejects.toMatchObject({
        code: 'BAD_OPTION',
        hint: expect.stringContaining('{ x, y }'),
      });
    }
  });

  it('leaves the model with the last committed weights when it fails', async () => {
    const data = await arrays();
    const cluster = clusterOf({ workers: 2 });
    const model = smooth();
    const before = weightsOf(model);
    const committed: Float32Array[][] = [];
    const failing = fitModel(cluster.access, model, data, {
      ...unshuffled,
      callbacks: {
        name: 'abandon',
        onTrainBatchEnd(batch, _logs, training) {
          committed.push(training.getWeights());
          if (batch === 2) cluster.access.conductor.abandon('gone');
        },
      },
    });
    await expect(failing).rejects.toMatchObject({ code: 'NO_WORKERS' });
    expect(weightsOf(model)).not.toEqual(before);
    expect(weightsOf(model)).toEqual(committed.at(-1)?.flatMap((weight) => Array.from(weight)));
  });

  it('leaves no tensors behind', async () => {
    const data = await arrays();
    const { access } = clusterOf({ workers: 1 });
    const model = smooth();
    await fitModel(access, model, data, unshuffled);
    const before = tf.memory().numTensors;
    await fitModel(access, model, data, unshuffled);
    expect(tf.memory().numTensors).toBe(before);
  });
});

describe('evaluate', () => {
  it('gives what model.evaluate gives, with the same bits on any number of workers', async () => {
    const data = await arrays();
    const model = smooth();
    const [loss, mae] = model.evaluate(data.x, data.y) as tf.Scalar[];
    const results = [];
    for (const workers of [1, 3]) {
      const { access } = clusterOf({ workers, seed: workers });
      results.push(await evaluateModel(access, model, data, { batchSize: 12, shards: 4 }));
    }
    expect(results[1]).toEqual(results[0]);
    expect(Object.keys(results[0])).toEqual(['loss', 'mae']);
    expect(results[0].loss).toBeCloseTo(loss.dataSync()[0], 5);
    expect(results[0].mae).toBeCloseTo(mae.dataSync()[0], 5);
  });
});

describe('callbacks', () => {
  it('are called around an evaluation and a prediction, and see the weights', async () => {
    const data = await arrays();
    const model = smooth();
    const { access } = clusterOf({ workers: 2 });
    const calls: string[] = [];
    const kernel = Array.from(model.getWeights()[0].dataSync());
    const callbacks: Callback = {
      name: 'recorder',
      onTestBegin(training) {
        calls.push('test');
        expect(Array.from(training.getWeights()[0])).toEqual(kernel);
      },
      onTestBatchBegin: (batch) => void calls.push(`test batch ${batch}`),
      onTestBatchEnd: (batch, logs) => void calls.push(`test batch ${batch} ${Object.keys(logs)}`),
      onTestEnd: (logs) => void calls.push(`test end ${Object.keys(logs)}`),
      onPredictBegin: () => void calls.push('predict'),
      onPredictBatchBegin: (batch) => void calls.push(`predict batch ${batch}`),
      onPredictBatchEnd: (batch) => void calls.push(`predict batch ${batch} end`),
      onPredictEnd: () => void calls.push('predict end'),
    };
    await evaluateModel(access, model, data, { batchSize: 20, callbacks });
    await predictModel(access, model, data.x, { batchSize: 40, callbacks });
    expect(calls).toEqual([
      'test',
      ...[
        'test batch 0',
        'test batch 0 loss,mae',
        'test batch 1',
        'test batch 1 loss,mae',
        'test end loss,mae',
      ],
      ...['predict', 'predict batch 0', 'predict batch 0 end', 'predict end'],
    ]);
  });
});

describe('predict', () => {
  it('gives every row its output, in order, when workers are lost meanwhile', async () => {
    const { x } = await arrays();
    const model = smooth();
    let computed = 0;
    const cluster = clusterOf({
      workers: 3,
      onAnswer(worker, answer, own) {
        if (answer.type !== 'computing') return;
        computed += 1;
        if (computed !== 3 && computed !== 8) return;
        own.join();
        worker.kill();
      },
    });
    const predicted = (await predictModel(cluster.access, model, x, { batchSize: 12 })) as tf.Tensor;
    const expected = model.predict(x) as tf.Tensor;
    expect(predicted.shape).toEqual([count, 1]);
    expect(cluster.here).toHaveLength(3);
    expect(distance(Array.from(predicted.dataSync()), Array.from(expected.dataSync()))).toBeLessThan(1e-6);
  });

  it('gives one tensor per output', async () => {
    const input = tf.input({ shape: [features] });
    const outputs = [1, 3].map((units) => tf.layers.dense({ units }).apply(input) as tf.SymbolicTensor);
    const model = tf.model({ inputs: input, outputs });
    const { x } = await arrays();
    const { access } = clusterOf({ workers: 2 });
    const predicted = (await predictModel(access, model, x, {})) as tf.Tensor[];
    const expected = model.predict(x) as tf.Tensor[];
    expect(predicted.map(({ shape }) => shape)).toEqual([
      [count, 1],
      [count, 3],
    ]);
    for (const [i, tensor] of predicted.entries()) {
      expect(distance(Array.from(tensor.dataSync()), Array.from(expected[i].dataSync()))).toBeLessThan(1e-6);
    }
  });
});

describe('options that do not exist', () => {
  it.each([
    ['evaluate', { batchsize: 4 }, 'unknown option batchsize of evaluate', 'Did you mean batchSize?'],
    ['evaluate', { sampleWeight: [1] }, 'unknown option sampleWeight of evaluate', 'beside x and y'],
    ['predict', { batch: 4 }, 'unknown option batch of predict', 'batchSize'],
    ['predict', { loss: 'meanSquaredError' }, 'unknown option loss of predict', 'Options are: batchSize'],
  ])('are refused by %s, as by fit: %o', async (what, options, message, hint) => {
    const { access } = clusterOf({ workers: 1 });
    const data = await arrays();
    const given = options as never;
    const work =
      what === 'evaluate'
        ? evaluateModel(access, smooth(), data, given)
        : predictModel(access, smooth(), data.x, given);
    await expect(work).rejects.toMatchObject({
      code: 'BAD_OPTION',
      message,
      hint: expect.stringContaining(hint),
    });
  });
});
