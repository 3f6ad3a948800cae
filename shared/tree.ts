/**
 * The fixed tree along which shards are summed. Its shape depends on the shard count alone, so the bits of a
 * sum are the same whoever adds, in whatever order the parts arrive. docs/determinism.md tells why.
 *
 * sum(lo, hi) = sum(lo, mid) + sum(mid, hi), where mid = lo + the largest power of two below hi - lo.
 */

/** Shards `[lo, hi)`. */
export interface ShardRange {
  readonly lo: number;
  readonly hi: number;
}

export function midOf(lo: number, hi: number): number {
  let power = 1;
  while (power * 2 < hi - lo) power *= 2;
  return lo + power;
}

/** The largest subtrees of the tree over `[0, shards)` that together are exactly `range`, in order. */
export function subtreesOf(range: ShardRange, shards: number): ShardRange[] {
  const found: ShardRange[] = [];
  const visit = (lo: number, hi: number): void => {
    if (hi <= range.lo || lo >= range.hi) return;
    if (range.lo <= lo && hi <= range.hi) {
      found.push({ lo, hi });
      return;
    }
    const mid = midOf(lo, hi);
    visit(lo, mid);
    visit(mid, hi);
  };
  if (range.lo < range.hi) visit(0, shards);
  return found;
}

/** Whether `range` is a node of the tree over `[0, shards)`. */
export function isSubtree(range: ShardRange, shards: number): boolean {
  const [only, ...others] = subtreesOf(range, shards);
  return others.length === 0 && only !== undefined && only.lo === range.lo && only.hi === range.hi;
}

/**
 * Reduces `leaf(lo)…leaf(hi-1)` along the tree. An absent leaf is `null` and is not added: adding zeros would
 * turn -0 into +0. `add` may reuse its left operand's memory.
 */
export function sumTree<T>(
  range: ShardRange,
  leaf: (shard: number) => T | null,
  add: (left: T, right: T) => T,
): T | null {
  if (range.hi - range.lo === 1) return leaf(range.lo);
  const mid = midOf(range.lo, range.hi);
  const left = sumTree({ lo: range.lo, hi: mid }, leaf, add);
  const right = sumTree({ lo: mid, hi: range.hi }, leaf, add);
  if (left === null) return right;
  if (right === null) return left;
  return add(left, right);
}

/** How one global batch is cut: shard `s` holds rows `[s·c, min((s+1)·c, size))` with c = ceil(batchSize / shards). */
export interface ShardPlan {
  readonly shards: number;
  /** Shards that hold at least one sample; the others are absent. They are always the first ones. */
  readonly present: number;
  rowsOf(shard: number): ShardRange;
}

/**
 * @param size rows of this batch; the last batch of an epoch may be smaller than `batchSize`
 */
export function planShards(size: number, batchSize: number, shards: number): ShardPlan {
  const rowsPerShard = Math.ceil(batchSize / shards);
  return {
    shards,
    present: Math.ceil(size / rowsPerShard),
    rowsOf: (shard) => ({
      lo: Math.min(shard * rowsPerShard, size),
      hi: Math.min((shard + 1) * rowsPerShard, size),
    }),
  };
}
