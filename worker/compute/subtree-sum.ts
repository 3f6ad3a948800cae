import { addPartials, type ShardPartial } from '../../shared/partial.js';
import { midOf, type ShardRange } from '../../shared/tree.js';

/**
 * Computes the shards of one subtree in order and adds them up along the tree as they come, so that at most
 * log2(shards) partials are held at a time.
 *
 * @param recycle takes a gradient that is in the sum
 */
export async function sumSubtree(
  { lo, hi }: ShardRange,
  compute: (shard: number) => Promise<ShardPartial>,
  recycle: (gradient: Float32Array) => void = () => {},
): Promise<ShardPartial> {
  if (hi - lo === 1) return compute(lo);
  const mid = midOf(lo, hi);
  const left = await sumSubtree({ lo, hi: mid }, compute, recycle);
  const right = await sumSubtree({ lo: mid, hi }, compute, recycle);
  const sum = addPartials(left, right);
  recycle(right.gradient);
  return sum;
}
