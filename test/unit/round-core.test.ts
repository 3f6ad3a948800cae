import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  type Answer,
  beginRound,
  isComplete,
  isHeldBy,
  pendingRanges,
  type RoundProgress,
  shardStatuses,
  type Unit,
  unitOf,
  withHolder,
  withoutWorker,
  withUnit,
} from '../../coordinator/core/round.js';
import { dealPending, splitRound, splitShards } from '../../coordinator/core/split.js';
import type { ShardRange } from '../../shared/tree.js';

const sizeOf = ({ lo, hi }: ShardRange): number => hi - lo;

function round(present: number, shards = present, id = 0): RoundProgress {
  const spec = { id, kind: 'train' as const, step: 0, shards, present, rowsPerShard: 8, audited: [] };
  return beginRound(spec, 0);
}

/** The round after `worker` has computed and delivered this subtree. */
function withDone(progress: RoundProgress, worker: number, range: ShardRange): RoundProgress {
  const given = withHolder(progress, worker, range, 0);
  const answers: Answer[] = [{ worker, digest: null, finite: true }];
  return withUnit(given, { range, holders: [], answers, accepted: worker });
}

/** The round with these shards pending; all others are done by worker 99. */
function withPending(present: number, pending: readonly number[], id = 0): RoundProgress {
  return Array.from({ length: present }, (_, shard) => shard)
    .filter((shard) => !pending.includes(shard))
    .reduce(
      (progress, shard) => withDone(progress, 99, { lo: shard, hi: shard + 1 }),
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
    let progress = withDone(round(4), 1, { lo: 0, hi: 1 });
    progress = withHolder(progress, 1, { lo: 1, hi: 2 }, 5);
    progress = withHolder(progress, 2, { lo: 2, hi: 3 }, 5);
    const after = withoutWorker(progress, 1);
    const statuses = shardStatuses(after).map(({ status }) => status);
    expect(statuses).toEqual(['done', 'pending', 'assigned', 'pending']);
    expect(after.losses).toEqual([0, 1, 0, 0]);
    expect(withoutWorker(withHolder(after, 3, { lo: 1, hi: 2 }, 6), 3).losses).toEqual([0, 2, 0, 0]);
  });

  it('leaves with its second holder what the first lost, and counts the loss all the same', () => {
    const range = { lo: 0, hi: 2 };
    const progress = withHolder(withHolder(round(4), 1, range, 5), 2, range, 6);
    const after = withoutWorker(progress, 1);
    expect(unitOf(after, range)?.holders).toEqual([{ worker: 2, sinceMs: 6 }]);
    expect(after.losses).toEqual([1, 1, 0, 0]);
  });

  it('cuts what a worker is given into the subtrees that it sends', () => {
    const { units } = withHolder(round(5, 8), 1, { lo: 1, hi: 5 }, 0);
    expect(units.map(({ range }) => `${range.lo}-${range.hi}`)).toEqual(['1-2', '2-4', '4-5']);
    expect(units.every((unit) => isHeldBy(unit, 1) && !isHeldBy(unit, 2))).toBe(true);
  });

  it.each([
    ['one answer is in the sum', [[1, 'a']], 1, true],
    ['one answer waits to be confirmed', [[1, 'a']], null, false],
    [
      'an answer in the sum is disputed',
      [
        [1, 'a'],
        [2, 'b'],
      ],
      1,
      false,
    ],
    [
      'the dispute about it is decided',
      [
        [1, 'a'],
        [2, 'b'],
        [3, 'a'],
      ],
      1,
      true,
    ],
  ] as const)('is complete or not: %s', (_what, answers, accepted, expected) => {
    const range = { lo: 0, hi: 1 };
    const unit: Unit = {
      range,
      holders: [],
      answers: answers.map(([worker, digest]) => ({ worker, digest, finite: true })),
      accepted,
    };
    expect(isComplete(withUnit(withHolder(round(1), 1, range, 0), unit))).toBe(expected);
  });
});

describe('audited shards', () => {
  const audited = (shards: readonly number[], workers: readonly number[]) => {
    const spec = { ...round(8).spec, audited: shards };
    return splitRound(spec, workers).map(
      ({ worker, range, why }) => `${why} ${worker}: ${range.lo}-${range.hi}`,
    );
  };

  it('are units of their own, ordered a second time from another worker', () => {
    expect(audited([5], [1, 2])).toEqual([
      'first 1: 0-4',
      'first 2: 4-5',
      'first 2: 5-6',
      'first 2: 6-8',
      'audit 1: 5-6',
    ]);
  });

  it('go to whoever has the least to do', () => {
    const orders = audited([0, 1, 2], [1, 2, 3, 4]);
    expect(orders.filter((order) => order.startsWith('audit'))).toEqual([
      'audit 2: 0-1',
      'audit 3: 1-2',
      'audit 1: 2-3',
    ]);
  });

  it('are ordered once where there is one worker', () => {
    expect(audited([0], [7])).toEqual(['first 7: 0-1', 'first 7: 1-8']);
  });
});
