import { describe, expect, it } from 'vitest';
import { ModelState } from '../../coordinator/loop/model-state.js';
import { adam, sgd } from '../../coordinator/optimizer/configs.js';
import type { OptimizerConfig } from '../../coordinator/optimizer/optimizer.js';
import { updateRunningStatistics } from '../../coordinator/reduce/batch-norm.js';
import type { Manifest } from '../../shared/manifest.js';
import type { Moments, ShardPartial } from '../../shared/partial.js';

/** A kernel of 4 that trains; a frozen bias; two channels of running statistics, in the order of getWeights. */
const manifest: Manifest = {
  weights: [
    { name: 'dense/bias', shape: [2], size: 2, trainable: false, offset: 4 },
    { name: 'dense/kernel', shape: [2, 2], size: 4, trainable: true, offset: 0 },
    { name: 'bn/moving_mean', shape: [2], size: 2, trainable: false, offset: 6 },
    { name: 'bn/moving_variance', shape: [2], size: 2, trainable: false, offset: 8 },
  ],
  trainableSize: 4,
  totalSize: 10,
  batchNorms: [{ layer: 'bn', momentum: 0.9, channels: 2, mean: 2, variance: 3 }],
  frozenLayers: [],
};
const initial = Float32Array.of(1, 2, 3, 4, 5, 6, 0, 0, 1, 1);

function stateOf(
  optimizer: OptimizerConfig,
  constraints: ConstructorParameters<typeof ModelState>[0]['constraints'] = [],
) {
  return new ModelState({ manifest, flat: initial, optimizer, constraints });
}

const moments = (count: number, mean: number[], m2: number[]): Moments => ({
  batchNorm: 0,
  count,
  mean: Float64Array.from(mean),
  m2: Float64Array.from(m2),
});

const sumOf = (gradient: number[], sites: Moments[] = []): ShardPartial => ({
  gradient: Float32Array.from(gradient),
  sums: new Float64Array(1),
  moments: sites,
  scores: [],
});

describe('a step', () => {
  it('moves what trains by the rule, statistics by theirs, and nothing else', () => {
    const state = stateOf(sgd({ learningRate: 0.5 }));
    state.step(sumOf([1, -2, 0, 4], [moments(8, [2, -1], [16, 4])]), 0);
    // w - 0.5 g; 0.9 · old + 0.1 · (mean, m2 / 8).
    const expected = [0.5, 3, 3, 2, 5, 6, 0.2, -0.1, 0.9 + 0.2, 0.9 + 0.05];
    expect(Array.from(state.weights.flat)).toEqual(expected.map(Math.fround));
    expect(state.iteration).toBe(1);
  });

  it('gives weights another version, and leaves those that a round may still use as they are', () => {
    const state = stateOf(sgd({ learningRate: 1 }));
    const before = state.weights;
    state.step(sumOf([1, 1, 1, 1]), 0);
    expect(state.weights.version).not.toBe(before.version);
    expect(Array.from(before.flat)).toEqual(Array.from(initial));
    expect(stateOf(sgd()).weights.version).not.toBe(stateOf(sgd()).weights.version);
  });

  it('leaves weights that are lent as they are, however many steps later, until they are returned', () => {
    const state = stateOf(sgd({ learningRate: 1 }));
    const { flat, lend } = state.weights;
    const releases = [lend(), lend()];
    for (let step = 0; step < 3; step++) state.step(sumOf([1, 1, 1, 1]), 0);
    releases[0]();
    state.step(sumOf([1, 1, 1, 1]), 0);
    expect(Array.from(flat)).toEqual(Array.from(initial));
    expect(state.weights.flat[0]).toBe(-3);
    releases[1]();
  });

  it('writes the next but one step where the returned weights were', () => {
    const state = stateOf(sgd({ learningRate: 1 }));
    const { flat, lend } = state.weights;
    const release = lend();
    state.step(sumOf([1, 1, 1, 1]), 0);
    release();
    state.step(sumOf([1, 1, 1, 1]), 0);
    expect(state.weights.flat).toBe(flat);
  });

  it('applies constraints after the rule', () => {
    const state = stateOf(sgd({ learningRate: 1 }), [
      { weightIndex: 1, apply: (values) => values.set(values.map((value) => Math.max(value, 0))) },
    ]);
    state.step(sumOf([5, 1, 9, 1]), 0);
    expect(Array.from(state.weights.flat.subarray(0, 4))).toEqual([0, 1, 0, 3]);
  });

  it.each([
    ['a gradient with NaN', sumOf([1, NaN, 1, 1]), 'the gradient of dense/kernel holds'],
    ['an infinite gradient', sumOf([1, 1, -Infinity, 1]), 'the gradient of dense/kernel holds'],
    ['an infinite mean', sumOf([1, 1, 1, 1], [moments(2, [Infinity, 0], [1, 1])]), 'statistics of bn'],
    ['a variance of NaN', sumOf([1, 1, 1, 1], [moments(2, [0, 0], [1, NaN])]), 'statistics of bn'],
  ])('with %s changes nothing', (_what, sum, message) => {
    const state = stateOf(adam());
    state.step(sumOf([1, 2, 3, 4], [moments(2, [1, 1], [1, 1])]), 0);
    const before = { ...state.copy(), version: state.weights.version };
    expect(() => state.step(sum, 0)).toThrow(
      expect.objectContaining({ code: 'NOT_FINITE', message: expect.stringContaining(message) }),
    );
    expect({ ...state.copy(), version: state.weights.version }).toEqual(before);
    expect(state.iteration).toBe(1);
  });
});

describe('running statistics', () => {
  it('move once per call of the layer, in call order', () => {
    const flat = initial.slice();
    updateRunningStatistics(manifest, flat, [moments(4, [1, 0], [8, 4]), moments(2, [3, 0], [2, 2])]);
    // In float32 after each call: 0.9 · (0.9 · 0 + 0.1 · 1) + 0.1 · 3; variances 2 and 1, then 1 and 1.
    expect(flat[6]).toBeCloseTo(0.9 * 0.1 + 0.3, 6);
    expect(flat[8]).toBeCloseTo(0.9 * (0.9 + 0.2) + 0.1, 6);
    expect(flat[9]).toBeCloseTo(1, 6);
    expect(Array.from(flat.subarray(0, 6))).toEqual(Array.from(initial.subarray(0, 6)));
  });

  it('take the population variance of the whole batch', () => {
    const values = [1, 2, 4, 9];
    const mean = 4;
    const m2 = values.reduce((sum, value) => sum + (value - mean) ** 2, 0);
    const flat = initial.slice();
    const half = { ...manifest, batchNorms: [{ ...manifest.batchNorms[0], momentum: 0 }] };
    updateRunningStatistics(half, flat, [moments(4, [mean, mean], [m2, m2])]);
    expect(Array.from(flat.subarray(6))).toEqual([4, 4, 9.5, 9.5]);
  });
});

describe('weights that a callback sets', () => {
  it('are committed as copies in the order of getWeights', () => {
    const state = stateOf(sgd());
    const given = [2, 4, 2, 2].map((size, index) => new Float32Array(size).fill(index + 10));
    state.setWeights(given);
    given[0].fill(0);
    expect(state.getWeights().map((weight) => weight[0])).toEqual([10, 11, 12, 13]);
    expect(Array.from(state.weights.flat)).toEqual([11, 11, 11, 11, 10, 10, 12, 12, 13, 13]);
    state.getWeights()[1].fill(0);
    expect(state.weights.flat[0]).toBe(11);
  });

  it.each([
    ['too few', [2, 4, 2]],
    ['too many', [2, 4, 2, 2, 1]],
    ['of another size', [2, 4, 2, 3]],
  ])('are refused if they are %s', (_what, sizes) => {
    const state = stateOf(sgd());
    expect(() => state.setWeights(sizes.map((size) => new Float32Array(size)))).toThrow(
      expect.objectContaining({ code: 'SHAPE_MISMATCH' }),
    );
    expect(Array.from(state.weights.flat)).toEqual(Array.from(initial));
  });
});

describe('the learning rate', () => {
  it('is the schedule’s, by updates so far and epoch, until a callback sets one', () => {
    const asked: unknown[] = [];
    const schedule = {
      name: 'test',
      at(point: { step: number; epoch: number }) {
        asked.push(point);
        return 0.25;
      },
    };
    const state = stateOf(sgd({ learningRate: schedule }));
    state.step(sumOf([4, 0, 0, 0]), 7);
    expect(state.weights.flat[0]).toBe(0);
    state.step(sumOf([4, 0, 0, 0]), 8);
    expect(asked).toEqual([
      { step: 0, epoch: 7 },
      { step: 1, epoch: 8 },
    ]);
    state.setLearningRate(1);
    state.step(sumOf([4, 0, 0, 0]), 8);
    expect(state.weights.flat[0]).toBe(-1 - 4);
    expect(state.learningRate(9)).toBe(1);
  });

  it.each([-1, NaN])('is refused if it becomes %s', (rate) => {
    expect(() => stateOf(sgd()).setLearningRate(rate)).toThrow(
      expect.objectContaining({ code: 'BAD_OPTION' }),
    );
  });
});

describe('a copy', () => {
  it('does not change with later steps, and restores all that a step depends on', () => {
    const state = stateOf(adam({ learningRate: 0.1 }));
    state.step(sumOf([1, 2, 3, 4]), 0);
    const saved = { ...state.copy(), iteration: state.iteration, learningRate: state.fixedLearningRate };
    const kept = structuredClone(saved);
    state.step(sumOf([4, 3, 2, 1]), 0);
    expect(saved).toEqual(kept);
    const other = stateOf(adam({ learningRate: 0.1 }));
    other.restore(saved);
    other.step(sumOf([4, 3, 2, 1]), 0);
    expect(other.copy()).toEqual(state.copy());
    expect(other.iteration).toBe(2);
  });
});
