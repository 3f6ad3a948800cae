import { invariant } from '../../shared/errors.js';
import { isFiniteFloat32 } from '../../shared/float32.js';
import type { Manifest, WeightSpec } from '../../shared/manifest.js';
import { sumTree } from '../../shared/tree.js';
import type { Clipping } from '../optimizer/optimizer.js';

/** Elements whose squares are added one after the other; blocks are then added along the tree. */
const blockSize = 4096;

/** An element of a gradient that is NaN or infinite. */
export interface NonFiniteElement {
  /** Name of the weight. */
  readonly weight: string;
  /** Position in the flattened weight. */
  readonly index: number;
}

/**
 * Clips a mean gradient (float32, laid out like the manifest's trainable weights) in place, with Keras's
 * formulas: `clipValue` into [-limit, limit], `clipNorm` per variable and `globalClipNorm` over all of them to
 * an L2 norm of at most the limit. A gradient within the limit keeps its bits.
 */
export function clipGradient(manifest: Manifest, gradient: Float32Array, clipping: Clipping): void {
  const { clipValue, clipNorm, globalClipNorm } = clipping;
  if (clipValue !== undefined) {
    clipElements(gradient.subarray(0, manifest.trainableSize), clipValue);
  } else if (clipNorm !== undefined) {
    for (const weight of trainableOf(manifest)) {
      const own = gradient.subarray(weight.offset, weight.offset + weight.size);
      scaleToNorm(own, Math.sqrt(sumOfSquares(own)), clipNorm);
    }
  } else if (globalClipNorm !== undefined) {
    const norm = gradientNorm(manifest, gradient);
    scaleToNorm(gradient.subarray(0, manifest.trainableSize), norm, globalClipNorm);
  }
}

/**
 * The L2 norm of the whole gradient in float64: squares added in blocks of 4,096 elements per variable, blocks
 * and then variables along the tree of shared/tree.ts in manifest order, so that its bits are defined.
 */
export function gradientNorm(manifest: Manifest, gradient: Float32Array): number {
  const sums = trainableOf(manifest).map(({ offset, size }) =>
    sumOfSquares(gradient.subarray(offset, offset + size)),
  );
  return Math.sqrt(treeSum(sums));
}

/** The first element, in manifest order, that is NaN or infinite, or null if all are finite. */
export function firstNonFinite(manifest: Manifest, gradient: Float32Array): NonFiniteElement | null {
  const own = gradient.subarray(0, manifest.trainableSize);
  if (isFiniteFloat32(own)) return null;
  const found = own.findIndex((value) => !Number.isFinite(value));
  const weight = trainableOf(manifest).find(({ offset, size }) => found < offset + size);
  invariant(weight !== undefined, `no weight has the element ${found}`);
  return { weight: weight.name, index: found - weight.offset };
}

const trainableOf = (manifest: Manifest): WeightSpec[] =>
  manifest.weights.filter(({ trainable }) => trainable);

function clipElements(gradient: Float32Array, limit: number): void {
  for (let i = 0; i < gradient.length; i++) {
    const value = gradient[i];
    if (value > limit) gradient[i] = limit;
    else if (value < -limit) gradient[i] = -limit;
  }
}

function scaleToNorm(gradient: Float32Array, norm: number, limit: number): void {
  if (norm <= limit) return;
  // As in tf.clip_by_global_norm: nothing for a finite norm, NaN everywhere rather than zeros for an infinite one.
  const scale = limit / norm + (norm - norm);
  for (let i = 0; i < gradient.length; i++) gradient[i] *= scale;
}

function treeSum(values: ArrayLike<number>): number {
  if (values.length === 0) return 0;
  return (
    sumTree(
      { lo: 0, hi: values.length },
      (i) => values[i],
      (left, right) => left + right,
    ) ?? 0
  );
}

function sumOfSquares(values: Float32Array): number {
  const blocks = new Float64Array(Math.ceil(values.length / blockSize));
  let block = 0;
  // An addition waits for the one before it in the same block; four blocks side by side do not wait on each other.
  for (; (block + 4) * blockSize <= values.length; block += 4) {
    const end = (block + 1) * blockSize;
    let sum0 = 0;
    let sum1 = 0;
    let sum2 = 0;
    let sum3 = 0;
    for (let i = block * blockSize; i < end; i++) {
      const value0 = values[i];
      const value1 = values[i + blockSize];
      const value2 = values[i + 2 * blockSize];
      const value3 = values[i + 3 * blockSize];
      sum0 += value0 * value0;
      sum1 += value1 * value1;
      sum2 += value2 * value2;
      sum3 += value3 * value3;
    }
    blocks[block] = sum0;
    blocks[block + 1] = sum1;
    blocks[block + 2] = sum2;
    blocks[block + 3] = sum3;
  }
  for (; block < blocks.length; block++) {
    const end = Math.min((block + 1) * blockSize, values.length);
    let sum = 0;
    for (let i = block * blockSize; i < end; i++) sum += values[i] * values[i];
    blocks[block] = sum;
  }
  return treeSum(blocks);
}
