import * as tf from '@tensorflow/tfjs';
import { beforeAll, describe, expect, it } from 'vitest';
import { LockstepError } from '../../shared/errors.js';
import { lossDefaults, losses, resolveLossName } from '../../shared/losses.js';
import type { FunctionRef } from '../../shared/program.js';
import { lossOf } from '../../worker/compute/losses/loss.js';

type Row = readonly number[];
/** The loss of one sample, from Keras's documentation, in float64. */
type Formula = (t: Row, p: Row) => number;

const epsilon = 1e-7;
/** Keras clips in float32, where 1 - 1e-7 rounds to 1 - 1.19e-7. */
const clip = (p: number) => Math.min(Math.max(p, epsilon), Math.fround(1 - epsilon));
const total = (values: Row) => values.reduce((sum, value) => sum + value, 0);
const mean = (t: Row, p: Row, f: (t: number, p: number) => number) =>
  total(t.map((value, i) => f(value, p[i]))) / t.length;
const dot = (a: Row, b: Row) => total(a.map((value, i) => value * b[i]));
const softmax = (z: Row) => z.map((value) => Math.exp(value) / total(z.map(Math.exp)));
const logistic = (z: number) => 1 / (1 + Math.exp(-z));
const bce = (t: number, p: number) => -t * Math.log(clip(p)) - (1 - t) * Math.log(1 - clip(p));
const cce: Formula = (t, p) => -total(t.map((value, i) => value * Math.log(clip(p[i] / total(p)))));

const real = [
  [0.5, -1.5, 2],
  [-0.25, 0.75, 3.5],
];
const target = [
  [1, -1, 0.5],
  [0, 2, 3],
];
const signs = [
  [1, 0, 1],
  [0, 0, 1],
];
const oneHot = [
  [0, 1, 0],
  [1, 0, 0],
];
const probabilities = [
  [0.2, 0.5, 0.3],
  [1, 0, 0.5],
];
const logits = [
  [-3, 0.5, 2],
  [9, -9, 0.25],
];

const cases: [string, FunctionRef, readonly Row[], readonly Row[], Formula][] = [
  [
    'mean squared error',
    losses.meanSquaredError(),
    target,
    real,
    (t, p) => mean(t, p, (a, b) => (a - b) ** 2),
  ],
  [
    'mean absolute error',
    losses.meanAbsoluteError(),
    target,
    real,
    (t, p) => mean(t, p, (a, b) => Math.abs(a - b)),
  ],
  [
    'mean absolute percentage error',
    losses.meanAbsolutePercentageError(),
    [
      [1, -1, 0.5],
      [4, 2, 3],
    ],
    real,
    (t, p) => 100 * mean(t, p, (a, b) => Math.abs((a - b) / Math.max(Math.abs(a), epsilon))),
  ],
  [
    'mean squared logarithmic error',
    losses.meanSquaredLogarithmicError(),
    target,
    real,
    (t, p) =>
      mean(t, p, (a, b) => (Math.log(Math.max(a, epsilon) + 1) - Math.log(Math.max(b, epsilon) + 1)) ** 2),
  ],
  ['logcosh', losses.logcosh(), target, real, (t, p) => mean(t, p, (a, b) => Math.log(Math.cosh(b - a)))],
  [
    'huber',
    losses.huber({ delta: 0.8 }),
    target,
    real,
    (t, p) =>
      mean(t, p, (a, b) => (Math.abs(a - b) <= 0.8 ? (a - b) ** 2 / 2 : 0.8 * (Math.abs(a - b) - 0.4))),
  ],
  [
    'cosine similarity',
    losses.cosineSimilarity(),
    target,
    real,
    (t, p) => -dot(t, p) / Math.sqrt(dot(t, t) * dot(p, p)),
  ],
  [
    'hinge',
    losses.hinge(),
    signs,
    real,
    (t, p) => mean(t, p, (a, b) => Math.max(0, 1 - (a === 0 ? -1 : a) * b)),
  ],
  [
    'squared hinge',
    losses.squaredHinge(),
    signs,
    real,
    (t, p) => mean(t, p, (a, b) => Math.max(0, 1 - (a === 0 ? -1 : a) * b) ** 2),
  ],
  [
    'categorical hinge',
    losses.categoricalHinge(),
    oneHot,
    real,
    (t, p) => Math.max(0, 1 + Math.max(...p.map((value, i) => (1 - t[i]) * value)) - dot(t, p)),
  ],
  ['categorical crossentropy', losses.categoricalCrossentropy(), oneHot, probabilities, cce],
  [
    'categorical crossentropy with label smoothing',
    losses.categoricalCrossentropy({ labelSmoothing: 0.3 }),
    oneHot,
    probabilities,
    (t, p) =>
      cce(
        t.map((value) => value * 0.7 + 0.1),
        p,
      ),
  ],
  [
    'categorical crossentropy from logits',
    losses.categoricalCrossentropy({ fromLogits: true }),
    oneHot,
    logits,
    (t, p) => -dot(t, softmax(p).map(Math.log)),
  ],
  ['binary crossentropy', losses.binaryCrossentropy(), signs, probabilities, (t, p) => mean(t, p, bce)],
  [
    'binary crossentropy with label smoothing',
    losses.binaryCrossentropy({ labelSmoothing: 0.2 }),
    signs,
    probabilities,
    (t, p) => mean(t, p, (a, b) => bce(a * 0.8 + 0.1, b)),
  ],
  [
    'binary crossentropy from logits',
    losses.binaryCrossentropy({ fromLogits: true, labelSmoothing: 0.2 }),
    signs,
    logits,
    (t, p) => {
      const smooth = (a: number) => a * 0.8 + 0.1;
      return mean(
        t,
        p,
        (a, b) => -smooth(a) * Math.log(logistic(b)) - (1 - smooth(a)) * Math.log(1 - logistic(b)),
      );
    },
  ],
  [
    'Kullback-Leibler divergence',
    losses.kullbackLeiblerDivergence(),
    probabilities,
    [
      [0.3, 0.3, 0.4],
      [0.8, 0.1, 0.1],
    ],
    (t, p) => total(t.map((a, i) => Math.max(a, epsilon) * Math.log(Math.max(a, epsilon) / p[i]))),
  ],
  [
    'poisson',
    losses.poisson(),
    target,
    probabilities,
    (t, p) => mean(t, p, (a, b) => b - a * Math.log(b + epsilon)),
  ],
];

beforeAll(async () => {
  await tf.setBackend('cpu');
});

function valuesOf(ref: FunctionRef, yTrue: tf.Tensor, yPred: tf.Tensor): tf.Tensor {
  return tf.tidy(() => lossOf(ref, new Map())(yTrue, yPred));
}

describe('losses', () => {
  it.each(cases)("%s gives Keras's value for every sample", async (_, ref, t, p, formula) => {
    const got = Array.from(
      await valuesOf(ref, tf.tensor(t as number[][]), tf.tensor(p as number[][])).data(),
    );
    got.forEach((value, row) => {
      const expected = formula(t[row], p[row]);
      expect(Math.abs(value - expected)).toBeLessThan(2e-6 * Math.max(1, Math.abs(expected)));
    });
    expect(got).toHaveLength(2);
  });

  it.each([false, true])(
    'sparse crossentropy equals the one on one-hot labels (from logits: %s)',
    async (fromLogits) => {
      const yPred = tf.tensor2d(fromLogits ? logits : probabilities);
      const sparse = valuesOf(
        losses.sparseCategoricalCrossentropy({ fromLogits }),
        tf.tensor1d([1, 0], 'int32'),
        yPred,
      );
      const dense = valuesOf(losses.categoricalCrossentropy({ fromLogits }), tf.tensor2d(oneHot), yPred);
      expect(sparse.shape).toEqual([2]);
      const difference = await tf.max(tf.abs(tf.sub(sparse, dense))).data();
      expect(difference[0]).toBeLessThan(1e-6);
    },
  );

  it('keeps the time axis of sequences', () => {
    const shape: [number, number, number] = [2, 4, 3];
    for (const name of Object.keys(lossDefaults)) {
      const yTrue = name.startsWith('sparse') ? tf.zeros([2, 4], 'int32') : tf.ones(shape);
      expect(valuesOf(resolveLossName(name), yTrue, tf.fill(shape, 0.5)).shape, name).toEqual([2, 4]);
    }
  });

  it('knows names in camelCase, snake_case and short, and suggests the nearest', () => {
    for (const name of ['mse', 'MSE', 'mean_squared_error', 'meanSquaredError', 'MeanSquaredError']) {
      expect(resolveLossName(name)).toMatchObject({ name: 'meanSquaredError' });
    }
    expect(resolveLossName('sparse_categorical_crossentropy').name).toBe('sparseCategoricalCrossentropy');
    expect(resolveLossName('cosine_proximity').name).toBe('cosineSimilarity');
    const unknown = () => resolveLossName('meanSquareError');
    expect(unknown).toThrow(LockstepError);
    expect(unknown).toThrow(expect.objectContaining({ hint: expect.stringContaining('"meanSquaredError"') }));
  });

  it('refuses parameters that a loss does not have', () => {
    const wrong: unknown = { sigma: 1 };
    expect(() => losses.huber(wrong as { delta: number })).toThrow(
      expect.objectContaining({ code: 'BAD_OPTION' }),
    );
  });

  it('refuses a custom loss that yields one scalar for the batch, or a promise', () => {
    const ref: FunctionRef = { kind: 'job', key: 'loss', name: 'mine' };
    const run = (loss: (t: tf.Tensor, p: tf.Tensor) => tf.Tensor) =>
      lossOf(ref, new Map([['loss', loss]]))(tf.ones([2, 3]), tf.ones([2, 3]));
    const scalar = () => run((t, p) => tf.mean(tf.sub(t, p)));
    expect(scalar).toThrow(/one scalar for the batch/);
    const later: unknown = async (t: tf.Tensor) => t;
    expect(() => run(later as (t: tf.Tensor) => tf.Tensor)).toThrow(/promise/);
    expect(run((t, p) => tf.mean(tf.sub(t, p), -1)).shape).toEqual([2]);
  });
});
