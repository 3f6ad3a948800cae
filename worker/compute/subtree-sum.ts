import { addPartials, type ShardPartial } from '../../shared/partial.js';
import { midOf, type ShardRange } from '../../shared/tree.js';

/**
 * Computes the shards of one subtree in order and adds them up along the tree as they come, so that at most
 * log2(shards) partials are held at a time.
 */
export async function sumSubtree(
  { lo, hi }: ShardRange,
  compute: (shard: number) => Promise<ShardPartial>,
): Promise<ShardPartial> {
  if (hi - lo === 1) return compute(lo);
  const mid = midOf(lo, hi);
  const left = await sumSubtree({ lo, hi: mid }, compute);
  const right = await sumSubtree({ lo: mid, hi }, compute);
  return addPartials(left, right);
}
