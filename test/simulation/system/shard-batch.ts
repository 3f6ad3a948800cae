import type { ShardPartial } from '../../../shared/partial.js';
import { type TinyJob, tensorsOf } from './tiny-job.js';
import { shardOf } from './tiny-program.js';

/** The sum of a batch's shards along the tree, in plain code: what any cluster must arrive at. */
export function shardBatch(
  job: TinyJob,
  weights: Float32Array,
  kind: 'train' | 'evaluate',
  step: number,
  rows: readonly number[],
): ShardPartial {
  const rowsPerShard = Math.ceil(job.batchSize / job.shards);
  const sum = (lo: number, hi: number): ShardPartial | null => {
    if (hi - lo > 1) {
      let left = 1;
      while (left * 2 < hi - lo) left *= 2;
      return add(sum(lo, lo + left), sum(lo + left, hi));
    }
    const own = rows.slice(lo * rowsPerShard, (lo + 1) * rowsPerShard);
    if (own.length === 0) return null;
    const { x, y } = tensorsOf(job, own);
    const data = { x: [x], y: [y], sampleWeights: [null] };
    return shardOf(weights, job.seed, kind, { step, shard: lo, batchRows: rows.length, data });
  };
  return sum(0, job.shards) as ShardPartial;
}

/** Absent shards are left out; moments are merged by the formula of Chan, Golub and LeVeque (1979). */
function add(a: ShardPartial | null, b: ShardPartial | null): ShardPartial | null {
  if (a === null || b === null) return a ?? b;
  for (let i = 0; i < a.gradient.length; i++) a.gradient[i] = Math.fround(a.gradient[i] + b.gradient[i]);
  for (let i = 0; i < a.sums.length; i++) a.sums[i] = a.sums[i] + b.sums[i];
  a.moments.forEach((left, site) => {
    const right = b.moments[site];
    const count = left.count + right.count;
    for (let c = 0; c < left.mean.length; c++) {
      const delta = right.mean[c] - left.mean[c];
      left.mean[c] += (delta * right.count) / count;
      left.m2[c] += right.m2[c] + (delta * delta * left.count * right.count) / count;
    }
    left.count = count;
  });
  return a;
}
