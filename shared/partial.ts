import { invariant } from './errors.js';
import { addFloat32 } from './float32.js';

/**
 * What the shards of one subtree add up to. Every array is owned by whoever holds the partial; `addPartials`
 * reuses the left operand's memory.
 */
export interface ShardPartial {
  /** float32, trainable parameters in manifest order; empty for evaluation. */
  readonly gradient: Float32Array;
  /** float64: the loss and metric sums in the layout of `SumsLayout` (shared/sums.ts). */
  readonly sums: Float64Array;
  /** BatchNorm moments, one entry per call site in call order; empty for evaluation. */
  readonly moments: readonly Moments[];
  /** Per metric that ranks the whole set (AUC): float32 triples (score, label, weight), in shard order. */
  readonly scores: readonly Float32Array[];
}

/** Moments of a set of values per channel, in a form that can be merged exactly enough in any tree. */
export interface Moments {
  /** Index into the manifest's `batchNorms`. */
  readonly batchNorm: number;
  /** Values per channel. */
  count: number;
  /** float64[channels] */
  readonly mean: Float64Array;
  /** float64[channels]: sum of squared differences from the mean. */
  readonly m2: Float64Array;
}

/** Merges `right` into `left` (Chan, Golub & LeVeque 1979, eq. 2.1). */
function mergeMoments(left: Moments, right: Moments): void {
  invariant(left.batchNorm === right.batchNorm, 'moments of different layers');
  const count = left.count + right.count;
  for (let c = 0; c < left.mean.length; c++) {
    const delta = right.mean[c] - left.mean[c];
    left.mean[c] += (delta * right.count) / count;
    left.m2[c] += right.m2[c] + (delta * delta * left.count * right.count) / count;
  }
  left.count = count;
}

/** The sum of two neighbouring subtrees, in `left`'s memory. Both must come from the same program. */
export function addPartials(left: ShardPartial, right: ShardPartial): ShardPartial {
  invariant(
    left.gradient.length === right.gradient.length &&
      left.sums.length === right.sums.length &&
      left.moments.length === right.moments.length &&
      left.scores.length === right.scores.length,
    'partials of different programs',
  );
  addFloat32(left.gradient, right.gradient);
  for (let i = 0; i < left.sums.length; i++) left.sums[i] += right.sums[i];
  for (let i = 0; i < left.moments.length; i++) mergeMoments(left.moments[i], right.moments[i]);
  return { ...left, scores: left.scores.map((scores, i) => concatScores(scores, right.scores[i])) };
}

function concatScores(left: Float32Array, right: Float32Array): Float32Array {
  const both = new Float32Array(left.length + right.length);
  both.set(left);
  both.set(right, left.length);
  return both;
}
