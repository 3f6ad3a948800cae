import { describe, expect, it } from 'vitest';
import { PartialTree } from '../../coordinator/reduce/partial-tree.js';
import { InvariantError } from '../../shared/errors.js';
import { addPartials, type ShardPartial } from '../../shared/partial.js';
import { Random } from '../../shared/random.js';
import { type ShardRange, subtreesOf } from '../../shared/tree.js';
import { sumSubtree } from '../../worker/compute/subtree-sum.js';

const size = 16;

/** Values over many magnitudes: another association or order of additions gives other bits. */
function wild(random: Random): number {
  return random.normal() * 10 ** (random.below(9) - 4);
}

/** A fresh copy each time: a tree owns what it is given. */
function partialOf(shard: number, seed = 1): ShardPartial {
  const random = new Random(1000 * seed + shard);
  const values = (length: number): number[] => Array.from({ length }, () => wild(random));
  return {
    gradient: Float32Array.from(values(size)),
    sums: Float64Array.from(values(3)),
    moments: [
      {
        batchNorm: 0,
        count: 2 + shard,
        mean: Float64Array.from(values(2)),
        m2: Float64Array.from(values(2), Math.abs),
      },
    ],
    scores: [Float32Array.of(shard, 1, 1)],
  };
}

/** The definition, written out: float32 for the gradient, float64 for the sums, neighbours along the tree. */
function expectedSum(lo: number, hi: number, present: number, seed: number): ShardPartial | null {
  if (lo >= present) return null;
  if (hi - lo === 1) return partialOf(lo, seed);
  let half = 1;
  while (half * 2 < hi - lo) half *= 2;
  const left = expectedSum(lo, lo + half, present, seed);
  const right = expectedSum(lo + half, hi, present, seed);
  if (left === null || right === null) return left ?? right;
  const [a] = left.moments;
  const [b] = right.moments;
  const count = a.count + b.count;
  return {
    gradient: left.gradient.map((value, i) => Math.fround(value + right.gradient[i])),
    sums: left.sums.map((value, i) => value + right.sums[i]),
    moments: [
      {
        batchNorm: 0,
        count,
        mean: a.mean.map((mean, c) => mean + ((b.mean[c] - mean) * b.count) / count),
        m2: a.m2.map((m2, c) => m2 + (b.m2[c] + ((b.mean[c] - a.mean[c]) ** 2 * a.count * b.count) / count)),
      },
    ],
    scores: [Float32Array.from([...left.scores[0], ...right.scores[0]])],
  };
}

function bits({ gradient, sums, moments, scores }: ShardPartial): string {
  const bytes = [gradient, sums, ...moments.flatMap(({ mean, m2 }) => [mean, m2]), ...scores];
  const hex = bytes.map((array) =>
    Buffer.from(array.buffer, array.byteOffset, array.byteLength).toString('hex'),
  );
  return [...hex, ...moments.map(({ count }) => count)].join(' ');
}

function sumOf(order: readonly ShardRange[], shards: number, present: number, seed = 1): string {
  const tree = new PartialTree(shards, present);
  for (const { lo, hi } of order) {
    const range = expectedSum(lo, hi, present, seed);
    if (range !== null) tree.add({ lo, hi }, range);
  }
  return bits(tree.root);
}

function expectedBits(shards: number, present: number, seed = 1): string {
  const sum = expectedSum(0, shards, present, seed);
  return sum === null ? 'nothing' : bits(sum);
}

function* permutations<T>(items: readonly T[]): Generator<T[]> {
  if (items.length <= 1) yield [...items];
  for (const [i, item] of items.entries()) {
    const others = items.filter((_, j) => j !== i);
    for (const rest of permutations(others)) yield [item, ...rest];
  }
}

describe('the values of these tests', () => {
  it('have a sum that depends on how it is associated', () => {
    const inOrder = partialOf(0);
    for (const shard of [1, 2, 3, 4, 5, 6, 7]) addPartials(inOrder, partialOf(shard));
    expect(Array.from(inOrder.gradient)).not.toEqual(Array.from(expectedSum(0, 8, 8, 1)?.gradient ?? []));
  });
});

describe('the sum of partials', () => {
  it.each([1, 2, 3, 4, 5])(
    'has the same bits for every order of arrival of %i shards, absent ones included',
    (shards) => {
      for (let present = 1; present <= shards; present++) {
        const leaves = Array.from({ length: present }, (_, lo) => ({ lo, hi: lo + 1 }));
        const expected = expectedBits(shards, present);
        for (const order of permutations(leaves)) expect(sumOf(order, shards, present)).toBe(expected);
      }
    },
  );

  it('has the same bits for any cut into subtrees that arrive in any order', () => {
    const random = new Random(17);
    for (let run = 0; run < 400; run++) {
      const shards = 1 + random.below(20);
      const present = 1 + random.below(shards);
      // Cut as workers hold it: contiguous ranges, each sent as its subtrees.
      const cuts = new Set([0, present]);
      for (let i = random.below(4); i > 0; i--) cuts.add(random.below(present));
      const at = [...cuts].sort((a, b) => a - b);
      const subtrees = at.slice(1).flatMap((hi, i) => subtreesOf({ lo: at[i], hi }, shards));
      const order = [...random.permutation(subtrees.length)].map((i) => subtrees[i]);
      expect(
        sumOf(order, shards, present, run),
        `run ${run}: ${JSON.stringify({ shards, present, order })}`,
      ).toBe(expectedBits(shards, present, run));
    }
  });

  it('keeps -0 and subnormals of a batch of one shard', () => {
    const tree = new PartialTree(8, 1);
    const gradient = Float32Array.of(-0, 1e-45, -1e-45);
    tree.add({ lo: 0, hi: 1 }, { gradient, sums: Float64Array.of(-0), moments: [], scores: [] });
    expect(Array.from(tree.root.gradient)).toEqual([-0, 1.401298464324817e-45, -1.401298464324817e-45]);
    expect(Array.from(tree.root.sums)).toEqual([-0]);
  });

  it('adds subnormals in float32 without flushing them to zero', () => {
    const tree = new PartialTree(2, 2);
    for (const shard of [1, 0]) {
      const gradient = Float32Array.of(1e-45);
      tree.add(
        { lo: shard, hi: shard + 1 },
        { gradient, sums: new Float64Array(0), moments: [], scores: [] },
      );
    }
    expect(tree.root.gradient[0]).toBe(2 * 1.401298464324817e-45);
  });

  it('adds -0 to -0 as -0, and to nothing as itself', () => {
    const tree = new PartialTree(4, 3);
    for (const lo of [2, 0, 1]) {
      const gradient = Float32Array.of(-0, lo === 1 ? 0 : -0);
      tree.add({ lo, hi: lo + 1 }, { gradient, sums: Float64Array.of(-0), moments: [], scores: [] });
    }
    expect(Array.from(tree.root.gradient)).toEqual([-0, 0]);
    expect(Array.from(tree.root.sums)).toEqual([-0]);
  });

  it('lists scores in the order of the shards, not of arrival', () => {
    const tree = new PartialTree(4, 4);
    for (const lo of [2, 0, 3, 1]) tree.add({ lo, hi: lo + 1 }, partialOf(lo));
    expect(Array.from(tree.root.scores[0]).filter((_, i) => i % 3 === 0)).toEqual([0, 1, 2, 3]);
  });

  it.each([
    ['is not complete', [0, 1, 3], 'not complete'],
    ['got a shard twice', [0, 2, 2], 'added twice'],
  ])('is refused while the round %s', (_what, order, message) => {
    const tree = new PartialTree(4, 4);
    expect(() => {
      for (const lo of order) tree.add({ lo, hi: lo + 1 }, partialOf(lo));
      return tree.root;
    }).toThrow(new RegExp(message));
  });

  it('is refused for a range that is no subtree, and for partials of different programs', () => {
    expect(() => new PartialTree(4, 4).add({ lo: 1, hi: 3 }, partialOf(1))).toThrow(InvariantError);
    const tree = new PartialTree(2, 2);
    tree.add({ lo: 0, hi: 1 }, partialOf(0));
    expect(() => tree.add({ lo: 1, hi: 2 }, { ...partialOf(1), moments: [] })).toThrow(InvariantError);
  });
});

describe('a worker that holds a subtree', () => {
  it.each([
    [0, 8, 8],
    [4, 8, 8],
    [4, 7, 7],
    [2, 3, 4],
  ])('sends for shards %i to %i of %i what the tree would have summed', async (lo, hi, shards) => {
    const order: number[] = [];
    const compute = async (shard: number) => {
      order.push(shard);
      return partialOf(shard);
    };
    const recycled = new Set<Float32Array>();
    const partial = await sumSubtree({ lo, hi }, compute, (gradient) => {
      recycled.add(gradient.fill(Number.NaN));
    });
    expect(recycled.size).toBe(hi - lo - 1);
    const expected = expectedSum(lo, hi, shards, 1);
    expect(expected === null ? null : bits(partial)).toBe(expected === null ? null : bits(expected));
    expect(order).toEqual(Array.from({ length: hi - lo }, (_, i) => lo + i));
  });
});

describe('moments', () => {
  it('merge to the mean and the variance of all values together', () => {
    const random = new Random(3);
    const sets = [5, 1, 12, 3].map((length) => Array.from({ length }, () => 100 + random.normal()));
    const momentsOf = (values: number[]) => {
      const mean = values.reduce((sum, value) => sum + value / values.length, 0);
      const m2 = values.reduce((sum, value) => sum + (value - mean) ** 2, 0);
      return { batchNorm: 0, count: values.length, mean: Float64Array.of(mean), m2: Float64Array.of(m2) };
    };
    const tree = new PartialTree(4, 4);
    sets.forEach((values, lo) => {
      const empty = { gradient: new Float32Array(0), sums: new Float64Array(0), scores: [] };
      tree.add({ lo, hi: lo + 1 }, { ...empty, moments: [momentsOf(values)] });
    });
    const [merged] = tree.root.moments;
    const expected = momentsOf(sets.flat());
    expect(merged.count).toBe(21);
    expect(merged.mean[0]).toBeCloseTo(expected.mean[0], 11);
    expect(merged.m2[0]).toBeCloseTo(expected.m2[0], 10);
  });
});
