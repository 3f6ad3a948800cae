import { expect, it } from 'vitest';
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
import type { OptimizerConfig } from '../../coordinator/optimizer/optimizer.js';
import { manifestWith } from './optimizer-reference.js';

/**
 * Figures that Keras 3's own tests expect of Keras (keras/src/optimizers/*_test.py: `test_single_step`,
 * `test_correctness_with_golden`, `test_weight_decay`), with their tolerances.
 */

function train(config: OptimizerConfig, start: number[], gradients: number[][]): number[][] {
  const manifest = manifestWith([{ name: 'x', size: start.length }]);
  const optimizer = createOptimizer(config);
  const weights = Float32Array.from(start);
  return gradients.map((gradient, iteration) => {
    const learningRate = Number(config.learningRate);
    optimizer.apply({
      manifest,
      weights,
      gradient: Float32Array.from(gradient),
      next: weights,
      learningRate,
      iteration,
    });
    return [...weights];
  });
}

function expectClose(actual: number[], expected: number[], tolerance: number): void {
  expect(actual.length).toBe(expected.length);
  actual.forEach((value, i) => {
    expect(Math.abs(value - expected[i])).toBeLessThanOrEqual(tolerance * (1 + Math.abs(expected[i])));
  });
}

const firstSteps: [string, OptimizerConfig, number[]][] = [
  ['sgd', sgd({ learningRate: 0.5 }), [0.5, -1, -0.5, 3]],
  ['adagrad', adagrad({ learningRate: 0.5 }), [0.5233, 1.5007, 2.5005, 3.5061]],
  ['adadelta', adadelta({ learningRate: 0.5 }), [0.9993, 1.9993, 2.9993, 3.9993]],
  ['rmsprop', rmsprop({ learningRate: 0.5 }), [-0.5811, 0.4189, 1.4189, 2.4189]],
  ['adam', adam({ learningRate: 0.5 }), [0.5, 1.5, 2.5, 3.5]],
  ['adamw', adamw({ learningRate: 0.5 }), [0.498, 1.496, 2.494, 3.492]],
  ['adamax', adamax({ learningRate: 0.5 }), [0.5, 1.5, 2.5, 3.5]],
  ['nadam', nadam({ learningRate: 0.5 }), [0.4686, 1.4686, 2.4686, 3.4686]],
];

it.each(firstSteps)('%s takes the first step that Keras takes', (_, config, expected) => {
  const [weights] = train(config, [1, 2, 3, 4], [[1, 6, 7, 2]]);
  expectClose(weights, expected, 1e-4);
});

/** First and last of ten elements after each of five steps. */
const goldens: [string, OptimizerConfig, [number, number][]][] = [
  [
    'sgd',
    sgd({ nesterov: true }),
    [
      [0.9999, 0.9999],
      [0.9989, 0.9899],
      [0.9979, 0.9799],
      [0.9969, 0.9699],
      [0.9959, 0.9599],
    ],
  ],
  [
    'adagrad',
    adagrad({ learningRate: 0.2, initialAccumulatorValue: 0.3, epsilon: 1e-6 }),
    [
      [0.9963, 0.9963],
      [0.9604, 0.8209],
      [0.9251, 0.6891],
      [0.8903, 0.579],
      [0.856, 0.4825],
    ],
  ],
  [
    'adadelta',
    adadelta({ learningRate: 1, rho: 0.8, epsilon: 1e-6 }),
    [
      [0.9978, 0.9978],
      [0.9947, 0.9947],
      [0.9915, 0.9915],
      [0.9882, 0.9882],
      [0.9849, 0.9849],
    ],
  ],
  [
    'centered rmsprop',
    rmsprop({ centered: true }),
    [
      [0.9967, 0.9967],
      [0.9933, 0.9933],
      [0.9908, 0.9908],
      [0.9885, 0.9885],
      [0.9864, 0.9864],
    ],
  ],
  [
    'adam with amsgrad',
    adam({ amsgrad: true }),
    [
      [0.999, 0.999],
      [0.9982, 0.9982],
      [0.9974, 0.9974],
      [0.9965, 0.9965],
      [0.9955, 0.9955],
    ],
  ],
  [
    'adamw',
    adamw({ learningRate: 1, weightDecay: 0.5, epsilon: 2 }),
    [
      [0.4998, 0.4998],
      [0.2486, 0.2382],
      [0.1223, 0.1003],
      [0.0586, 0.0258],
      [0.0263, -0.0159],
    ],
  ],
  [
    'adamax',
    adamax({ learningRate: 0.2, beta1: 0.85, beta2: 0.95, epsilon: 1e-6 }),
    [
      [0.8, 0.8],
      [0.6827, 0.691],
      [0.5333, 0.5466],
      [0.368, 0.3848],
      [0.1933, 0.2126],
    ],
  ],
  [
    'nadam',
    nadam({ learningRate: 0.5, beta1: 0.5, beta2: 0.67, epsilon: 1e-5 }),
    [
      [0.4281, 0.4281],
      [-0.1738, -0.1717],
      [-0.7115, -0.7084],
      [-1.2335, -1.2299],
      [-1.7492, -1.7454],
    ],
  ],
];

it.each(goldens)('%s goes the five steps that Keras goes', (_, config, golden) => {
  const gradient = Array.from({ length: 10 }, (_, i) => 0.1 * (i + 1));
  const steps = train(config, new Array<number>(10).fill(1), [
    new Array<number>(10).fill(0.01),
    gradient,
    gradient,
    gradient,
    gradient,
  ]);
  expectClose(
    steps.flatMap((weights) => [weights[0], weights[9]]),
    golden.flat(),
    5e-4,
  );
});

const factories = { sgd, adagrad, adadelta, rmsprop, adam, adamw, adamax, nadam };

it.each(Object.entries(factories))('%s decays weights apart from the gradient', (_, factory) => {
  // The rate is 1 - 0.004 of a weight of 2 in two steps: 2 · 0.996².
  const config = factory({ learningRate: 1, weightDecay: 0.004 });
  const [, weights] = train(config, [2], [[0], [0]]);
  expect(weights[0]).toBeCloseTo(2 * 0.996 * 0.996, 6);
});
