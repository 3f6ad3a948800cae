import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  beginRound,
  dealPending,
  holds,
  isComplete,
  pendingRanges,
  type RoundProgress,
  splitShards,
  withoutWorker,
  withStatus,
} from '../../coordinator/core/round.js';
import type { ShardRange } from '../../shared/tree.js';

const sizeOf = ({ lo, hi }: ShardRange): number => hi - lo;

function round(present: number, shards = present, id = 0): RoundProgress {
  return beginRound({ id, kind: 'train', shards, present }, 0);
}

/** The round with these shards pending; all others are done by worker 99. */
function withPending(present: number, pending: readonly number[], id = 0): RoundProgress {
  return Array.from({ length: present }, (_, shard) => shard)
    .filter((shard) => !pending.includes(shard))
    .reduce(
      (progress, shard) => withStatus(progress, { lo: shard, hi: shard + 1 }, { status: 'done', worker: 99 }),
      round(present, present, id),
    );
}

describe('splitting shards among workers', () => {
  it('gives contiguous ranges in the order of the workers that together are all shards, as even as it goes', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 64 }),
        fc.integer({ min: 1, max: 12 }),
        fc.nat(1_000_000),
        (present, count, id) => {
          const workers = Array.from({ length: count }, (_, i) => 10 + 3 * i);
          const split = splitShards(present, workers, id);
          let at = 0;
          for (const worker of workers) {
            const range = split.get(worker);
            const size = range === undefined ? 0 : sizeOf(range);
            expect([Math.floor(present / count), Math.ceil(present / count)]).toContain(size);
            if (range === undefined) continue;
            expect(range.lo).toBe(at);
            expect(size).toBeGreaterThan(0);
            at = range.hi;
          }
          expect(at).toBe(present);
        },
      ),
    );
  });

  it.each([
    [4, 3],
    [2, 5],
    [7, 4],
    [8, 6],
  ])(
    'of %i among %i workers is fair: over as many rounds as there are workers, each gets as many',
    (present, count) => {
      const workers = Array.from({ length: count }, (_, i) => i);
      const shards = new Map(workers.map((worker) => [worker, 0]));
      for (let id = 100; id < 100 + count; id++) {
        for (const [worker, range] of splitShards(present, workers, id)) {
          shards.set(worker, (shards.get(worker) ?? 0) + sizeOf(range));
        }
      }
      expect([...shards.values()]).toEqual(workers.map(() => present));
    },
  );
});

describe('dealing pending shards', () => {
  it('gives all of them to idle workers, each once, as even as it goes', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 24 }),
        fc.array(fc.nat(23), { maxLength: 24 }),
        fc.integer({ min: 1, max: 8 }),
        fc.nat(1_000),
        (present, shards, count, id) => {
          const pending = [...new Set(shards)].filter((shard) => shard < present);
          const idle = Array.from({ length: count }, (_, i) => i);
          const dealt = dealPending(withPending(present, pending, id), idle);
          const given = dealt.flatMap(({ range }) =>
            Array.from({ length: sizeOf(range) }, (_, i) => range.lo + i),
          );
          expect(given.sort((a, b) => a - b)).toEqual(pending.sort((a, b) => a - b));
          for (const worker of idle) {
            const own = dealt.filter((deal) => deal.worker === worker);
            const size = own.reduce((sum, { range }) => sum + sizeOf(range), 0);
            expect(size).toBeGreaterThanOrEqual(Math.floor(pending.length / count));
            expect(size).toBeLessThanOrEqual(Math.ceil(pending.length / count));
          }
        },
      ),
    );
  });

  it.each([
    ['one gap to one worker', [2, 3, 4], [7], ['7: 2-5']],
    ['two gaps to one worker', [0, 1, 5], [7], ['7: 0-2', '7: 5-6']],
    ['two gaps to two workers', [0, 1, 4, 5], [7, 8], ['7: 0-2', '8: 4-6']],
    ['a gap that two share', [1, 2, 3, 4], [7, 8], ['7: 1-3', '8: 3-5']],
    ['nothing', [], [7], []],
    ['to nobody', [1], [], []],
  ])('deals %s', (_what, pending, idle, expected) => {
    const dealt = dealPending(withPending(6, pending), idle);
    expect(dealt.map(({ worker, range }) => `${worker}: ${range.lo}-${range.hi}`)).toEqual(expected);
  });
});

describe('the progress of a round', () => {
  it('begins with every present shard pending', () => {
    expect(pendingRanges(round(3, 8))).toEqual([{ lo: 0, hi: 3 }]);
    expect(isComplete(round(3, 8))).toBe(false);
  });

  it('is complete when every present shard is done', () => {
    expect(isComplete(withPending(3, [1]))).toBe(false);
    expect(isComplete(withPending(3, []))).toBe(true);
  });

  it('takes back from a lost worker what it held, and counts the loss, for it alone', () => {
    const assigned = (worker: number) => ({ status: 'assigned' as const, worker, sinceMs: 5 });
    let progress = withStatus(round(4), { lo: 0, hi: 1 }, { status: 'done', worker: 1 });
    progress = withStatus(progress, { lo: 1, hi: 2 }, assigned(1));
    progress = withStatus(progress, { lo: 2, hi: 3 }, assigned(2));
    const after = withoutWorker(progress, 1);
    expect(after.statuses.map(({ status }) => status)).toEqual(['done', 'pending', 'assigned', 'pending']);
    expect(after.losses).toEqual([0, 1, 0, 0]);
    expect(withoutWorker(withStatus(after, { lo: 1, hi: 2 }, assigned(3)), 3).losses).toEqual([0, 2, 0, 0]);
  });

  it('knows what a worker holds and would send', () => {
    const assigned = { status: 'assigned' as const, worker: 1, sinceMs: 0 };
    const progress = withStatus(round(5, 8), { lo: 1, hi: 5 }, assigned);
    const sendable = [];
    for (let lo = 0; lo <= 8; lo++) {
      for (let hi = 0; hi <= 9; hi++) if (holds(progress, 1, { lo, hi })) sendable.push(`${lo}-${hi}`);
    }
    // Subtrees of 8 shards within [1, 5).
    expect(sendable).toEqual(['1-2', '2-3', '2-4', '3-4', '4-5']);
    expect(holds(progress, 2, { lo: 1, hi: 2 })).toBe(false);
  });
});
