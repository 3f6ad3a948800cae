import { describe, expect, it } from 'vitest';
import { type Durations, deadlineMs, withDuration } from '../../coordinator/core/durations.js';

const limits = { deadlineFloorMs: 1_000, warmUpMs: 10_000, unknownShardMs: 60_000 };
const shape = { kind: 'train' as const, rowsPerShard: 8 };

function having(...tookMs: number[]): Durations {
  return tookMs.reduce((durations, ms) => withDuration(durations, shape, 1, ms), new Map() as Durations);
}

function deadline(durations: Durations, shards = 1, canaryMs: number | null = null): number {
  return deadlineMs(durations, { shape, shards, canaryMs }, limits);
}

describe('the deadline of a unit', () => {
  it('is the floor and, per shard, the median and six times the median absolute deviation', () => {
    // Median 100, deviations 60, 20, 0, 40, 1000: their median is 40.
    expect(deadline(having(40, 80, 100, 140, 1_100), 3)).toBe(1_000 + 3 * (100 + 6 * 40));
  });

  it('is the floor and twice the median where answers hardly differ', () => {
    expect(deadline(having(100, 100, 101, 99, 100), 2)).toBe(1_000 + 2 * 200);
  });

  it('counts the time of a unit of several shards per shard', () => {
    let durations: Durations = new Map();
    for (let i = 0; i < 5; i++) durations = withDuration(durations, shape, 4, 400);
    expect(deadline(durations)).toBe(1_200);
  });

  it('is generous before five answers: a hundred canaries per shard, a minute without one', () => {
    expect(deadline(having(1, 1, 1, 1), 2)).toBe(10_000 + 2 * 60_000);
    expect(deadline(having(1, 1, 1, 1), 2, 30)).toBe(10_000 + 2 * 3_000);
  });

  it('is of its own for each kind of round and each size of shard', () => {
    const durations = having(1, 1, 1, 1, 1);
    const others = [
      { ...shape, kind: 'evaluate' as const },
      { ...shape, rowsPerShard: 9 },
    ];
    for (const other of others) {
      expect(deadlineMs(durations, { shape: other, shards: 1, canaryMs: null }, limits)).toBe(70_000);
    }
  });

  it('forgets what is long ago', () => {
    const slowThenFast = having(...new Array(64).fill(9_000), ...new Array(64).fill(10));
    expect(deadline(slowThenFast)).toBe(1_020);
  });

  it('remembers a bounded number of shapes, the latest', () => {
    let durations: Durations = new Map();
    for (let rowsPerShard = 1; rowsPerShard <= 1_000; rowsPerShard++) {
      durations = withDuration(durations, { kind: 'predict', rowsPerShard }, 1, 5);
    }
    expect(durations.size).toBe(16);
    expect(durations.has('predict 1000')).toBe(true);
    expect(durations.has('predict 1')).toBe(false);
  });
});
