import { describe, expect, it } from 'vitest';
import { describeDifference, firstDifference, traced } from '../../cli/trace.js';
import type { StepRecord } from '../../coordinator/loop/training-plan.js';
import type { Manifest } from '../../shared/manifest.js';

const manifest: Manifest = {
  weights: [
    { name: 'dense/kernel', shape: [2], size: 2, trainable: true, offset: 0 },
    { name: 'norm/mean', shape: [1], size: 1, trainable: false, offset: 3 },
    { name: 'dense/bias', shape: [1], size: 1, trainable: true, offset: 2 },
  ],
  trainableSize: 3,
  totalSize: 4,
  batchNorms: [],
  frozenLayers: [],
};

/** Three steps; `change` may alter one. */
function run(change: (record: { -readonly [K in keyof StepRecord]: StepRecord[K] }) => void = () => {}) {
  return [1, 2, 3].map((step) => {
    const record = {
      step,
      weightsSha256: `weights ${step}`,
      gradientSha256: `gradient ${step}`,
      flat: Float32Array.of(step, 0, 0.5, -1),
      manifest,
      shardHashes: { 0: 'a', 1: 'b' },
    };
    change(record);
    return traced(record);
  });
}

describe('firstDifference', () => {
  it('is none between equal runs', () => {
    expect(firstDifference(run(), run())).toBeNull();
  });

  it('names step, shard, gradient and tensor', () => {
    const other = run((record) => {
      if (record.step < 2) return;
      record.weightsSha256 = 'other';
      record.gradientSha256 = 'other';
      record.shardHashes = { 0: 'a', 1: 'c' };
      record.flat = Float32Array.of(record.step, 0, 0.25, -1);
    });
    const difference = firstDifference(run(), other);
    expect(difference).toEqual({ type: 'bits', step: 2, shard: 1, tensor: 'dense/bias', gradient: true });
    expect(describeDifference(difference!, '1 worker', '3 workers')).toBe(
      'step 2 differs between 1 worker and 3 workers: first in shard 1, then in the gradient, then in weight dense/bias',
    );
  });

  it('sees a single bit: the sign of a zero', () => {
    const other = run((record) => {
      if (record.step === 3) record.flat = Float32Array.of(3, -0, 0.5, -1);
    });
    expect(firstDifference(run(), other)).toMatchObject({ step: 3, tensor: 'dense/kernel', gradient: false });
  });

  it('compares only the shards that both runs tell of', () => {
    const other = run((record) => {
      record.shardHashes = { 1: 'b' };
    });
    expect(firstDifference(run(), other)).toBeNull();
  });

  it('sees that one run is shorter', () => {
    const difference = firstDifference(run(), run().slice(0, 2));
    expect(difference).toEqual({ type: 'length', steps: [3, 2] });
    expect(describeDifference(difference!, '1 worker', '3 workers')).toBe(
      '1 worker made 3 steps, 3 workers 2',
    );
  });
});
