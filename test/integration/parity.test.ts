import * as tf from '@tensorflow/tfjs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Cluster, sgd } from '../../dist/index.js';

// Plain `model.fit` of TensorFlow.js is the independent source here: same data, same order, same optimizer.

const rows = 96;
const batchSize = 24;
/** 25 epochs of 4 batches. */
const epochs = 25;

function smoothMlp(): tf.LayersModel {
  const dense = (units: number, seed: number, inputShape?: number[]) =>
    tf.layers.dense({
      units,
      activation: 'tanh',
      kernelInitializer: tf.initializers.glorotUniform({ seed }),
      ...(inputShape && { inputShape }),
    });
  return tf.sequential({ layers: [dense(12, 1, [6]), dense(8, 2), dense(1, 3)] });
}

const x = tf.randomNormal([rows, 6], 0, 1, 'float32', 11);
const y = tf.tidy(() =>
  tf
    .tanh(x.sum(1, true))
    .mul(0.8)
    .add(tf.randomNormal([rows, 1], 0, 0.1, 'float32', 12)),
);

function largestRelativeDifference(a: tf.LayersModel, b: tf.LayersModel): number {
  const differences = a.getWeights().map((weight, index) => {
    const [left, right] = [weight.dataSync(), b.getWeights()[index].dataSync()];
    // Biases begin as zeros.
    const scale = Math.max(...left.map(Math.abs)) || 1;
    return Math.max(...left.map((value, i) => Math.abs(value - right[i]))) / scale;
  });
  return Math.max(...differences);
}

describe('a cluster against plain model.fit', () => {
  let cluster: Cluster;
  beforeAll(async () => {
    cluster = await Cluster.local({ workers: 2, backend: 'cpu' });
  });
  afterAll(() => cluster.close());

  for (const shards of [1, 4]) {
    for (const { name, plain, ours } of [
      { name: 'SGD', plain: () => tf.train.sgd(0.1), ours: sgd({ learningRate: 0.1 }) },
      {
        name: 'momentum',
        plain: () => tf.train.momentum(0.05, 0.9),
        // TensorFlow.js applies the rate to the accumulated gradient, Keras accumulates rate × gradient: the same
        // numbers while the rate is constant.
        ours: sgd({ learningRate: 0.05, momentum: 0.9 }),
      },
    ]) {
      it(`gives the weights of 100 steps of ${name} with ${shards} shards`, { timeout: 60_000 }, async () => {
        const reference = smoothMlp();
        const trained = smoothMlp();
        expect(largestRelativeDifference(reference, trained)).toBe(0);
        reference.compile({ optimizer: plain(), loss: 'meanSquaredError' });
        const plainHistory = await reference.fit(x, y, { epochs, batchSize, shuffle: false, verbose: 0 });
        trained.compile({ optimizer: 'sgd', loss: 'meanSquaredError' });
        const history = await cluster.fit(
          trained,
          { x, y },
          { epochs, batchSize, shuffle: false, shards, optimizer: ours },
        );
        expect(largestRelativeDifference(reference, smoothMlp())).toBeGreaterThan(0.1);
        expect(largestRelativeDifference(reference, trained)).toBeLessThan(1e-5);
        history.history.loss.forEach((loss, epoch) => {
          expect(loss).toBeCloseTo(Number(plainHistory.history.loss[epoch]), 5);
        });
      });
    }
  }

  it('continues the slots of the optimizer in a second fit', { timeout: 60_000 }, async () => {
    const options = { batchSize, shuffle: false, shards: 2 };
    const once = smoothMlp();
    once.compile({ optimizer: tf.train.adam(0.01), loss: 'meanSquaredError' });
    await cluster.fit(once, { x, y }, { ...options, epochs: 4 });
    const twice = smoothMlp();
    twice.compile({ optimizer: tf.train.adam(0.01), loss: 'meanSquaredError' });
    await cluster.fit(twice, { x, y }, { ...options, epochs: 2 });
    await cluster.fit(twice, { x, y }, { ...options, epochs: 2 });
    expect(largestRelativeDifference(once, twice)).toBe(0);
  });

  it('evaluates and predicts as the model itself does', { timeout: 60_000 }, async () => {
    const model = smoothMlp();
    model.compile({ optimizer: 'sgd', loss: 'meanSquaredError', metrics: ['mae'] });
    const [loss, mae] = (model.evaluate(x, y, { batchSize: rows }) as tf.Scalar[]).map(
      (scalar) => scalar.dataSync()[0],
    );
    const logs = await cluster.evaluate(model, { x, y });
    expect(logs.loss).toBeCloseTo(loss, 6);
    expect(logs.mae).toBeCloseTo(mae, 6);
    const predicted = (await cluster.predict(model, x)) as tf.Tensor;
    const expected = model.predict(x) as tf.Tensor;
    expect(predicted.shape).toEqual(expected.shape);
    expect(tf.max(tf.abs(tf.sub(predicted, expected))).dataSync()[0]).toBeLessThan(1e-6);
  });
});
