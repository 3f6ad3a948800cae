import * as tf from '@tensorflow/tfjs';
import { describe, expect, it } from 'vitest';
import {
  adadelta,
  adagrad,
  adam,
  adamax,
  adamw,
  nadam,
  rmsprop,
  sgd,
} from '../../coordinator/optimizer/configs.js';
import { createOptimizer } from '../../coordinator/optimizer/flat-optimizer.js';
import { fromName, fromTfjs } from '../../coordinator/optimizer/from-tfjs.js';
import { cosineDecay, learningRateAt } from '../../coordinator/optimizer/schedules.js';
import { Random } from '../../shared/random.js';
import { manifestWith, normals, relativeError } from './optimizer-reference.js';

const refusal = (message: RegExp) =>
  expect.objectContaining({ code: 'BAD_OPTION', message: expect.stringMatching(message) });

describe('configurations', () => {
  it("have the defaults of Keras 3's constructors", () => {
    const moments = { beta1: 0.9, beta2: 0.999, epsilon: 1e-7 };
    const plain = { learningRate: 0.001, weightDecay: 0 };
    expect(sgd()).toEqual({
      ...plain,
      name: 'sgd',
      learningRate: 0.01,
      params: { momentum: 0, nesterov: false },
    });
    expect(adagrad()).toEqual({
      ...plain,
      name: 'adagrad',
      params: { initialAccumulatorValue: 0.1, epsilon: 1e-7 },
    });
    expect(adadelta()).toEqual({ ...plain, name: 'adadelta', params: { rho: 0.95, epsilon: 1e-7 } });
    expect(rmsprop()).toEqual({
      ...plain,
      name: 'rmsprop',
      params: { rho: 0.9, momentum: 0, epsilon: 1e-7, centered: false },
    });
    expect(adam()).toEqual({ ...plain, name: 'adam', params: { ...moments, amsgrad: false } });
    expect(adamw()).toEqual({
      ...plain,
      name: 'adamw',
      weightDecay: 0.004,
      params: { ...moments, amsgrad: false },
    });
    expect(adamax()).toEqual({ ...plain, name: 'adamax', params: moments });
    expect(nadam()).toEqual({ ...plain, name: 'nadam', params: moments });
  });

  it('carry clipping, weight decay and a schedule', () => {
    const learningRate = cosineDecay({ initialLearningRate: 0.1, decaySteps: 10 });
    const config = adam({ learningRate, globalClipNorm: 1, weightDecay: 0.01 });
    expect(config).toMatchObject({ learningRate, globalClipNorm: 1, weightDecay: 0.01 });
    expect(Object.keys(config)).not.toContain('clipNorm');
  });

  it('refuse unknown options, values out of range and two kinds of clipping', () => {
    const misspelt = { learningRate: 0.1, betal: 0.9 };
    expect(() => adam(misspelt)).toThrow(refusal(/unknown option betal/));
    expect(() => sgd({ learningRate: -1 })).toThrow(refusal(/learningRate: expected .* got -1/));
    expect(() => sgd({ learningRate: Number.NaN })).toThrow(refusal(/learningRate/));
    expect(() => sgd({ momentum: 1.1 })).toThrow(refusal(/momentum/));
    expect(() => adam({ beta1: 1 })).toThrow(refusal(/beta1/));
    expect(() => adam({ epsilon: 0 })).toThrow(refusal(/epsilon/));
    expect(() => adamw({ weightDecay: -0.1 })).toThrow(refusal(/weightDecay/));
    expect(() => nadam({ clipNorm: 0 })).toThrow(refusal(/clipNorm/));
    expect(() => rmsprop({ clipNorm: 1, clipValue: 1 })).toThrow(refusal(/clipValue and clipNorm/));
    const scheduleLike = JSON.parse('{"learningRate": "fast"}');
    expect(() => adagrad(scheduleLike)).toThrow(refusal(/learningRate.*schedule, got fast/));
  });

  it('are checked again where an optimizer is made of them', () => {
    const config = { ...adam(), params: { beta1: 2 } };
    expect(() => createOptimizer(config)).toThrow(refusal(/beta1/));
  });
});

describe('fromName', () => {
  it('knows the Keras names in any case', () => {
    expect(fromName('adam')).toEqual(adam());
    expect(fromName('RMSprop')).toEqual(rmsprop());
    expect(fromName('AdamW')).toEqual(adamw());
    expect(() => fromName('lion')).toThrow(refusal(/unknown optimizer lion/));
    expect(() => fromName('constructor')).toThrow(refusal(/unknown optimizer/));
  });
});

describe('fromTfjs', () => {
  it('takes the numbers that the instance holds', () => {
    expect(fromTfjs(tf.train.sgd(0.3))).toEqual(sgd({ learningRate: 0.3 }));
    expect(fromTfjs(tf.train.momentum(0.3, 0.8, true))).toEqual(
      sgd({ learningRate: 0.3, momentum: 0.8, nesterov: true }),
    );
    expect(fromTfjs(tf.train.adagrad(0.3, 0.2))).toEqual(
      adagrad({ learningRate: 0.3, initialAccumulatorValue: 0.2 }),
    );
    expect(fromTfjs(tf.train.adadelta(0.3, 0.8, 1e-5))).toEqual(
      adadelta({ learningRate: 0.3, rho: 0.8, epsilon: 1e-5 }),
    );
    expect(fromTfjs(tf.train.rmsprop(0.3, 0.8, 0.1, 1e-5, true))).toEqual(
      rmsprop({ learningRate: 0.3, rho: 0.8, momentum: 0.1, epsilon: 1e-5, centered: true }),
    );
    expect(fromTfjs(tf.train.adam(0.3, 0.8, 0.9, 1e-5))).toEqual(
      adam({ learningRate: 0.3, beta1: 0.8, beta2: 0.9, epsilon: 1e-5 }),
    );
    expect(fromTfjs(tf.train.adamax(0.3, 0.8, 0.9, 1e-5))).toEqual(
      adamax({ learningRate: 0.3, beta1: 0.8, beta2: 0.9, epsilon: 1e-5 }),
    );
  });

  it('sees a rate that was changed on the instance', () => {
    const optimizer = tf.train.momentum(0.3, 0.8);
    Object.assign(optimizer, { learningRate: 0.05 });
    expect(fromTfjs(optimizer).learningRate).toBe(0.05);
  });

  it("turns Adamax's decay into a schedule", () => {
    const { learningRate } = fromTfjs(tf.train.adamax(0.3, 0.9, 0.999, 1e-7, 0.5));
    expect(learningRateAt(learningRate, { step: 4, epoch: 0 })).toBeCloseTo(0.3 / (1 + 4 * 0.5), 12);
  });

  it.each([
    ['sgd', sgd()],
    ['adagrad', adagrad({ learningRate: 0.01 })],
    ['adadelta', adadelta({ learningRate: 1 })],
    ['adam', adam()],
    ['adamax', adamax({ learningRate: 0.002 })],
    ['rmsprop', rmsprop()],
  ])("takes the numbers that TensorFlow.js gives compile's string '%s'", (name, expected) => {
    const model = tf.sequential({ layers: [tf.layers.dense({ units: 1, inputShape: [1] })] });
    model.compile({ optimizer: name, loss: 'meanSquaredError' });
    expect(fromTfjs(model.optimizer)).toEqual(expected);
    model.dispose();
  });

  it('refuses an optimizer that it does not know', () => {
    class Lion extends tf.SGDOptimizer {
      static override get className(): string {
        return 'Lion';
      }
    }
    expect(() => fromTfjs(new Lion(0.1))).toThrow(refusal(/Lion/));
  });
});

describe('sgd and momentum walk with TensorFlow.js', () => {
  it.each([
    ['sgd', () => tf.train.sgd(0.05)],
    ['momentum', () => tf.train.momentum(0.05, 0.9)],
    ['Nesterov momentum', () => tf.train.momentum(0.05, 0.9, true)],
  ])('%s, 100 steps', async (_, make) => {
    await tf.setBackend('cpu');
    const manifest = manifestWith([{ name: 'w', size: 12 }]);
    const start = normals(new Random(11), 12);
    const curvature = Float32Array.from({ length: 12 }, (_, i) => 0.1 + i / 6);
    const theirs = tf.variable(tf.tensor1d(start));
    const scale = tf.tensor1d(curvature);
    const reference = make();
    const optimizer = createOptimizer(fromTfjs(reference));
    const weights = start.slice();
    for (let iteration = 0; iteration < 100; iteration++) {
      // The loss Σ a·(1 - cos w) has the gradient a·sin w.
      reference.minimize(() => tf.sum(tf.mul(scale, tf.sub(1, tf.cos(theirs)))) as tf.Scalar);
      const gradient = weights.map((weight, i) => curvature[i] * Math.sin(weight));
      optimizer.apply({ manifest, weights, gradient, next: weights, learningRate: 0.05, iteration });
    }
    expect(relativeError(weights, start)).toBeGreaterThan(0.1);
    expect(relativeError(weights, await theirs.data())).toBeLessThan(1e-5);
    tf.dispose([theirs, scale]);
    reference.dispose();
  });
});
