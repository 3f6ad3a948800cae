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
import type { Optimizer } from '../../coordinator/optimizer/optimizer.js';
import type { Manifest } from '../../shared/manifest.js';
import { Random } from '../../shared/random.js';
import { manifestWith, normals, plainSlots } from './optimizer-reference.js';

const whole = manifestWith([
  { name: 'first', size: 6 },
  { name: 'second', size: 4 },
]);
const firstFrozen = manifestWith([
  { name: 'first', size: 6, trainable: false },
  { name: 'second', size: 4 },
]);

/** Trains in place for the iterations [from, to), each with its own gradient. */
function train(optimizer: Optimizer, manifest: Manifest, weights: Float32Array, from: number, to: number) {
  for (let iteration = from; iteration < to; iteration++) {
    const gradient = normals(new Random(iteration), manifest.trainableSize);
    optimizer.apply({ manifest, weights, gradient, next: weights, learningRate: 0.01, iteration });
  }
}

const configs = [
  sgd(),
  sgd({ momentum: 0.9 }),
  adagrad(),
  adadelta(),
  rmsprop({ centered: true, momentum: 0.5 }),
  adam({ amsgrad: true }),
  adamw({ clipNorm: 1 }),
  adamax(),
  nadam(),
];

it.each(configs)('continues from loaded slots with the same bits: $name $params', (config) => {
  const start = normals(new Random(7), whole.totalSize);

  const straight = start.slice();
  const optimizer = createOptimizer(config);
  train(optimizer, whole, straight, 0, 12);

  const resumed = start.slice();
  const before = createOptimizer(config);
  train(before, whole, resumed, 0, 5);
  const after = createOptimizer(config);
  after.loadSlots(before.slots());
  train(before, whole, start.slice(), 5, 6);
  train(after, whole, resumed, 5, 12);

  expect([...resumed]).toEqual([...straight]);
  expect(plainSlots(after.slots())).toEqual(plainSlots(optimizer.slots()));
});

it.each(configs)('goes back to loaded slots with the same bits: $name $params', (config) => {
  const optimizer = createOptimizer(config);
  const weights = normals(new Random(7), whole.totalSize);
  train(optimizer, whole, weights, 0, 5);
  const saved = { weights: weights.slice(), slots: structuredClone(optimizer.slots()) };
  train(optimizer, whole, weights, 5, 12);
  optimizer.loadSlots(saved.slots);
  train(optimizer, whole, saved.weights, 5, 12);
  expect([...saved.weights]).toEqual([...weights]);
});

it('gives the same bits in place as in a second buffer', () => {
  const weights = normals(new Random(3), whole.totalSize);
  const next = new Float32Array(whole.totalSize);
  const gradient = normals(new Random(4), whole.trainableSize);
  const update = { manifest: whole, learningRate: 0.1, iteration: 0 };
  createOptimizer(adam()).apply({ ...update, weights, gradient: gradient.slice(), next });
  const unchanged = normals(new Random(3), whole.totalSize);
  expect([...weights]).toEqual([...unchanged]);
  createOptimizer(adam()).apply({ ...update, weights, gradient, next: weights });
  expect([...weights]).toEqual([...next]);
});

describe('slots are keyed by variable', () => {
  it('keeps those of a frozen layer, and never lends them to another', () => {
    const optimizer = createOptimizer(sgd({ momentum: 0.5 }));
    const ones = new Float32Array(10).fill(1);
    const apply = (manifest: Manifest) =>
      optimizer.apply({
        manifest,
        weights: new Float32Array(10),
        gradient: ones.slice(0, manifest.trainableSize),
        next: new Float32Array(10),
        learningRate: 1,
        iteration: 0,
      });
    const momentumOf = (name: string) => [...new Set(optimizer.slots().get(name)?.momentum)];

    apply(whole);
    apply(firstFrozen);
    apply(firstFrozen);
    expect(momentumOf('first')).toEqual([-1]);
    expect(momentumOf('second')).toEqual([-1.75]);
    apply(whole);
    expect(momentumOf('first')).toEqual([-1.5]);
    expect(momentumOf('second')).toEqual([-1.875]);
  });

  it('makes none for a layer that has not trained yet, and none at all for plain sgd', () => {
    const optimizer = createOptimizer(adam());
    train(optimizer, firstFrozen, new Float32Array(10), 0, 1);
    expect([...optimizer.slots().keys()]).toEqual(['second']);
    const plain = createOptimizer(sgd());
    train(plain, whole, new Float32Array(10), 0, 1);
    expect(plain.slots().size).toBe(0);
  });

  it('leaves frozen weights out of the update', () => {
    const weights = normals(new Random(5), 10);
    const next = weights.slice();
    createOptimizer(adamw()).apply({
      manifest: firstFrozen,
      weights,
      gradient: new Float32Array(4).fill(1),
      next,
      learningRate: 0.1,
      iteration: 0,
    });
    expect([...next.subarray(4)]).toEqual([...weights.subarray(4)]);
    expect(next.subarray(0, 4).every((value, i) => value < weights[i])).toBe(true);
  });
});

describe('loadSlots refuses what does not fit', () => {
  const zeros = (length: number) => new Float32Array(length);
  const refused = expect.objectContaining({ code: 'CHECKPOINT_MISMATCH' });

  it('slots of another optimizer', () => {
    const slots = new Map([['first', { momentum: zeros(6) }]]);
    expect(() => createOptimizer(adam()).loadSlots(slots)).toThrow(refused);
    expect(() => createOptimizer(sgd()).loadSlots(slots)).toThrow(refused);
  });

  it('slots of unequal length', () => {
    const slots = new Map([['first', { momentum: zeros(6), velocity: zeros(5) }]]);
    expect(() => createOptimizer(adam()).loadSlots(slots)).toThrow(refused);
  });

  it('slots of a weight of another size, when it is updated', () => {
    const optimizer = createOptimizer(adam());
    optimizer.loadSlots(new Map([['first', { momentum: zeros(5), velocity: zeros(5) }]]));
    expect(() => train(optimizer, whole, zeros(10), 0, 1)).toThrow(refused);
  });

  it('and copies what does', () => {
    const momentum = zeros(6);
    const optimizer = createOptimizer(sgd({ momentum: 0.9 }));
    optimizer.loadSlots(new Map([['first', { momentum }]]));
    train(optimizer, whole, zeros(10), 0, 1);
    expect(momentum).toEqual(zeros(6));
  });
});
