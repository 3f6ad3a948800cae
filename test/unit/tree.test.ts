import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { isSubtree, midOf, planShards, type ShardRange, subtreesOf, sumTree } from '../../shared/tree.js';

/** The tree over `shards` as text, absent shards left out. */
function shape(shards: number, present = shards): string | null {
  return sumTree(
    { lo: 0, hi: shards },
    (shard) => (shard < present ? String(shard) : null),
    (left, right) => `(${left}${right})`,
  );
}

describe('the tree', () => {
  // By hand: the left half is the largest power of two that leaves something for the right one.
  it.each([
    [1, '0'],
    [2, '(01)'],
    [3, '((01)2)'],
    [4, '((01)(23))'],
    [5, '(((01)(23))4)'],
    [6, '(((01)(23))(45))'],
    [7, '(((01)(23))((45)6))'],
    [8, '(((01)(23))((45)(67)))'],
    [9, '((((01)(23))((45)(67)))8)'],
  ])('over %i shards is %s', (shards, expected) => {
    expect(shape(shards)).toBe(expected);
  });

  it.each([
    [4, 3, '((01)2)'],
    [4, 2, '(01)'],
    [4, 1, '0'],
    [8, 5, '(((01)(23))4)'],
    [8, 7, '(((01)(23))((45)6))'],
    [6, 5, '(((01)(23))4)'],
  ])(
    'over %i shards of which %i are present is %s: an absent one is not added',
    (shards, present, expected) => {
      expect(shape(shards, present)).toBe(expected);
    },
  );

  it('over nothing but absent shards is absent', () => {
    expect(shape(5, 0)).toBeNull();
  });

  it('keeps the sign of zero that adding an absent shard as zeros would lose', () => {
    const add = (left: number, right: number): number => left + right;
    const sum = (values: (number | null)[]): number | null =>
      sumTree({ lo: 0, hi: values.length }, (i) => values[i], add);
    expect(sum([-0, null, null, null])).toBe(-0);
    expect(sum([-0, -0, -0, null])).toBe(-0);
    expect(sum([-0, 0, null, null])).toBe(0);
  });

  it('cuts at a power of two', () => {
    expect([2, 3, 4, 5, 8, 9, 16, 17].map((size) => midOf(0, size))).toEqual([1, 2, 2, 4, 4, 8, 8, 16]);
    expect(midOf(8, 11)).toBe(10);
  });
});

const ranges = fc.integer({ min: 1, max: 70 }).chain((shards) =>
  fc.tuple(
    fc.constant(shards),
    fc.tuple(fc.nat(shards), fc.nat(shards)).map(([a, b]) => ({ lo: Math.min(a, b), hi: Math.max(a, b) })),
  ),
);

/** Every node of the tree, by its definition. */
function nodesOf(lo: number, hi: number): ShardRange[] {
  if (hi - lo === 1) return [{ lo, hi }];
  const mid = midOf(lo, hi);
  return [{ lo, hi }, ...nodesOf(lo, mid), ...nodesOf(mid, hi)];
}

describe('the subtrees of a range', () => {
  it('are nodes of the tree that follow one another and are together exactly the range', () => {
    fc.assert(
      fc.property(ranges, ([shards, range]) => {
        const nodes = nodesOf(0, shards);
        let at = range.lo;
        for (const subtree of subtreesOf(range, shards)) {
          expect(nodes).toContainEqual(subtree);
          expect(subtree.lo).toBe(at);
          at = subtree.hi;
        }
        expect(at).toBe(range.hi);
      }),
    );
  });

  it('are as few as there can be: no two of them are the halves of one node', () => {
    fc.assert(
      fc.property(ranges, ([shards, range]) => {
        const subtrees = subtreesOf(range, shards);
        for (const { lo, hi } of nodesOf(0, shards)) {
          const inside = subtrees.filter((subtree) => lo <= subtree.lo && subtree.hi <= hi);
          if (range.lo <= lo && hi <= range.hi) expect(inside.length).toBeLessThanOrEqual(1);
        }
      }),
    );
  });

  it.each([
    [{ lo: 1, hi: 7 }, 8, ['1-2', '2-4', '4-6', '6-7']],
    [{ lo: 0, hi: 5 }, 8, ['0-4', '4-5']],
    [{ lo: 0, hi: 6 }, 6, ['0-6']],
    [{ lo: 2, hi: 2 }, 4, []],
  ])('of %o among %i shards are %j', (range, shards, expected) => {
    expect(subtreesOf(range, shards).map(({ lo, hi }) => `${lo}-${hi}`)).toEqual(expected);
  });

  it('tell whether a range is a node', () => {
    for (const shards of [1, 2, 3, 5, 8, 9]) {
      const nodes = nodesOf(0, shards).map(({ lo, hi }) => `${lo}-${hi}`);
      for (let lo = 0; lo <= shards; lo++) {
        for (let hi = 0; hi <= shards + 1; hi++) {
          expect(isSubtree({ lo, hi }, shards)).toBe(nodes.includes(`${lo}-${hi}`));
        }
      }
    }
  });
});

describe('the shards of a batch', () => {
  it.each([
    // rows, batch size, shards → rows per shard
    [128, 128, 4, [32, 32, 32, 32]],
    [100, 128, 4, [32, 32, 32, 4]],
    [6, 16, 4, [4, 2, 0, 0]],
    [1, 128, 8, [1, 0, 0, 0, 0, 0, 0, 0]],
    [30, 30, 4, [8, 8, 8, 6]],
    [5, 5, 4, [2, 2, 1, 0]],
    [3, 3, 3, [1, 1, 1]],
  ])('of %i rows, cut as a batch of %i into %i, hold %j rows', (size, batchSize, shards, expected) => {
    const plan = planShards(size, batchSize, shards);
    const rows = expected.map((_, shard) => plan.rowsOf(shard));
    expect(rows.map(({ lo, hi }) => hi - lo)).toEqual(expected);
    expect(plan.present).toBe(expected.filter((count) => count > 0).length);
    // Each row is in exactly one shard, in order.
    let at = 0;
    for (const { lo, hi } of rows.slice(0, plan.present)) {
      expect(lo).toBe(at);
      at = hi;
    }
    expect(at).toBe(size);
  });
});
