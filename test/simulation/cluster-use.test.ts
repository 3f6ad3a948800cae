import * as tf from '@tensorflow/tfjs';
import { afterEach, describe, expect, it } from 'vitest';
import type { Callback } from '../../coordinator/callbacks/callback.js';
import { Cluster } from '../../coordinator/cluster.js';
import type { RunEvent } from '../../coordinator/events.js';
import { evaluateModel, predictModel } from '../../coordinator/loop/evaluate-model.js';
import { type FitOptions, fitModel } from '../../coordinator/loop/fit.js';
import { InProcessCluster } from './in-process-cluster.js';
import { features, tinyData } from './tiny-training.js';

const clusters: InProcessCluster[] = [];

function clusterOf(workers: number): InProcessCluster {
  const cluster = new InProcessCluster({ workers });
  clusters.push(cluster);
  return cluster;
}

afterEach(() => {
  for (const cluster of clusters.splice(0)) cluster.close();
});

function linear(optimizer: tf.Optimizer = tf.train.momentum(0.05, 0.9)): tf.LayersModel {
  const kernelInitializer = tf.initializers.glorotUniform({ seed: 1 });
  const model = tf.sequential({
    layers: [tf.layers.dense({ units: 1, inputShape: [features], kernelInitializer })],
  });
  model.compile({ optimizer, loss: 'meanSquaredError' });
  return model;
}

const data = tinyData(24);
const options: FitOptions = { batchSize: 8, epochs: 2 };

const weightsOf = (model: tf.LayersModel): number[] =>
  model.getWeights().flatMap((weight) => Array.from(weight.dataSync()));

describe('a cluster', () => {
  const listening = { host: '127.0.0.1', port: 0, token: 'a token of the tests' };

  it.each([
    ['no token', { token: undefined }, 'the token is missing', 'openssl'],
    ['a token that can be found by trying', { token: 'short' }, 'the token has 5 characters', 'openssl'],
    ['a mistyped option', { worker: 2 }, 'unknown option worker', 'workers'],
    ['a backend that does not exist', { backend: 'gpu' }, 'unknown backend gpu', 'tensorflow'],
    ['no threads', { threadsPerWorker: 0 }, 'threadsPerWorker is 0', 'workers'],
    ['no workers', { workers: 0 }, 'workers is 0', 'one per core'],
  ])('is not opened with %s', async (_what, given, message, hint) => {
    await expect(Cluster.listen({ ...listening, ...given } as never)).rejects.toMatchObject({
      code: 'BAD_OPTION',
      message: expect.stringContaining(message),
      hint: expect.stringContaining(hint),
    });
  });
});

describe('a cluster that is busy', () => {
  it('refuses other work, also from a callback, and finishes what it does', async () => {
    const { access } = clusterOf(2);
    const model = linear();
    const refused = { code: 'BAD_OPTION', message: expect.stringContaining('fit') };
    const evaluating: Callback = {
      name: 'evaluating',
      onEpochEnd: async () => {
        await expect(
          evaluateModel(access, linear(), data, { loss: 'meanAbsoluteError' }),
        ).rejects.toMatchObject(refused);
      },
    };
    const first = fitModel(access, model, data, { ...options, callbacks: [evaluating] });
    await expect(fitModel(access, linear(), data, options)).rejects.toMatchObject(refused);
    await first;
    const alone = linear();
    await fitModel(clusterOf(2).access, alone, data, options);
    expect(weightsOf(model)).toEqual(weightsOf(alone));
    // Free again.
    expect(Object.keys(await evaluateModel(access, model, data, {}))).toEqual(['loss']);
  });
});

describe('a cluster that is closed', () => {
  it('says so at once', async () => {
    const cluster = await Cluster.listen({ host: '127.0.0.1', port: 0, token: 'a token of the tests' });
    await cluster.close();
    const closed = { code: 'BAD_OPTION', message: expect.stringContaining('closed') };
    await expect(cluster.fit(linear(), data)).rejects.toMatchObject(closed);
    await expect(cluster.evaluate(linear(), data)).rejects.toMatchObject(closed);
    await expect(cluster.predict(linear(), data)).rejects.toMatchObject(closed);
  });
});

describe('options that cannot be used', () => {
  it.each<[string, FitOptions]>([
    ['batchSize', { batchSize: 0 }],
    ['validationBatchSize', { validationSplit: 0.5, validationBatchSize: 0 }],
    ['stepsPerEpoch', { stepsPerEpoch: -1 }],
    ['shards', { shards: 1.5 }],
    ['seed', { seed: 0.5 }],
  ])('end a fit before it begins: %s', async (name, bad) => {
    await expect(fitModel(clusterOf(1).access, linear(), data, bad)).rejects.toMatchObject({
      code: 'BAD_OPTION',
      message: expect.stringContaining(name),
    });
  });

  it.each([{ batchSize: 0 }, { batchSize: -8 }, { batchSize: 8, shards: 0 }, { shards: 2.5 }])(
    'end evaluate and predict before they begin: %o',
    async (bad) => {
      const { access } = clusterOf(1);
      const refused = { code: 'BAD_OPTION' };
      await expect(evaluateModel(access, linear(), data, bad)).rejects.toMatchObject(refused);
      await expect(predictModel(access, linear(), data, bad)).rejects.toMatchObject(refused);
    },
  );

  it('evaluate and predict say that there is no data', async () => {
    const { access } = clusterOf(1);
    const empty = { ...data, length: 0 };
    await expect(evaluateModel(access, linear(), empty, {})).rejects.toMatchObject({ code: 'DATA_EMPTY' });
    await expect(predictModel(access, linear(), empty, {})).rejects.toMatchObject({ code: 'DATA_EMPTY' });
  });

  it('leave no listener behind', async () => {
    const { access } = clusterOf(1);
    const heard: RunEvent[] = [];
    const onEvent = (event: RunEvent): void => void heard.push(event);
    const uncompiled = tf.sequential({ layers: [tf.layers.dense({ units: 1, inputShape: [features] })] });
    await expect(fitModel(access, uncompiled, data, { onEvent })).rejects.toMatchObject({
      code: 'BAD_OPTION',
    });
    await fitModel(access, linear(), data, options);
    expect(heard).toEqual([]);
  });
});

/** Halves the rate after every epoch. */
const halving: Callback = {
  name: 'halving',
  onEpochEnd(_epoch, _logs, training) {
    training.learningRate /= 2;
  },
};

describe('a second fit', () => {
  it('continues at the rate that a callback set, as in Keras, where it is a variable of the optimizer', async () => {
    const { access } = clusterOf(1);
    const twice = linear();
    await fitModel(access, twice, data, { ...options, callbacks: [halving] });
    await fitModel(access, twice, data, { ...options, epochs: 4, initialEpoch: 2, callbacks: [halving] });
    const once = linear();
    await fitModel(access, once, data, { ...options, epochs: 4, callbacks: [halving] });
    expect(weightsOf(twice)).toEqual(weightsOf(once));
  });

  it('takes a rate that was set on the optimizer meanwhile', async () => {
    const { access } = clusterOf(1);
    const rates: number[] = [];
    const recording: Callback = {
      name: 'recording',
      onEpochBegin: (_epoch, training) => void rates.push(training.learningRate),
    };
    const optimizer = tf.train.sgd(0.1);
    const model = linear(optimizer);
    await fitModel(access, model, data, { ...options, epochs: 1, callbacks: [halving, recording] });
    await fitModel(access, model, data, { ...options, epochs: 1, callbacks: [recording] });
    optimizer.setLearningRate(0.03);
    await fitModel(access, model, data, { ...options, epochs: 1, callbacks: [recording] });
    expect(rates.map((rate) => Number(rate.toFixed(6)))).toEqual([0.1, 0.05, 0.03]);
  });

  it('goes on from the slots of the last committed step when the first one failed', async () => {
    const { access } = clusterOf(1);
    const failing: Callback = {
      name: 'failing',
      onEpochEnd(epoch) {
        if (epoch === 1) throw new RangeError('on purpose');
      },
    };
    const model = linear();
    await expect(fitModel(access, model, data, { ...options, callbacks: [failing] })).rejects.toThrow(
      'purpose',
    );
    await fitModel(access, model, data, { ...options, epochs: 3, initialEpoch: 2 });
    const once = linear();
    await fitModel(access, once, data, { ...options, epochs: 3 });
    expect(weightsOf(model)).toEqual(weightsOf(once));
  });
});
