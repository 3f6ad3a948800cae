import * as tf from '@tensorflow/tfjs';
import type { BackendWasm } from '@tensorflow/tfjs-backend-wasm';
import { addressOf, dispose, runKernel, type TensorInfo, zeros } from './kernel.js';
import { simdOf } from './simd/module.js';
import { matrixCount } from './winograd-tiles.js';

/** G of F(2×2, 3×3): three filter taps to four values. */
const g = [
  [1, 0, 0],
  [0.5, 0.5, 0.5],
  [0.5, -0.5, 0.5],
  [0, 0, 1],
] as const;

const taps = 9;

/** G·x·Gᵀ as one matrix [16, 9] applied to the nine taps of x, row by row: the Kronecker product of G with itself. */
const forward = g.flatMap((row) => g.map((column) => row.flatMap((p) => column.map((q) => p * q))));
/** The same, for a filter turned by 180 degrees. */
const turned = forward.map((row) => row.toReversed());
/** Gᵀ·x·G: the transpose. */
const adjoint = Array.from({ length: taps }, (_, tap) => forward.map((row) => row[tap]));

/** Adds coefficients [m, k] times `from` [k, size] to `to` [m, size]. */
function addCombinations(
  backend: BackendWasm,
  coefficients: readonly (readonly number[])[],
  from: TensorInfo,
  to: TensorInfo,
): void {
  const [m, k] = [coefficients.length, coefficients[0].length];
  const matrix = backend.makeOutput([m, k], 'float32', undefined, Float32Array.from(coefficients.flat()));
  const rowBytes = (4 * tf.util.sizeFromShape(to.shape)) / m;
  simdOf(backend).addProduct(
    addressOf(backend, matrix),
    4 * k,
    addressOf(backend, from),
    rowBytes,
    addressOf(backend, to),
    rowBytes,
    m,
    k,
    rowBytes / 4,
  );
  dispose(backend, matrix);
}

/** A filter [3, 3, c, d] as 16 matrices [c, d]. */
export function transformedFilter(backend: BackendWasm, filter: TensorInfo): TensorInfo {
  const [, , c, d] = filter.shape;
  const out = zeros(backend, [matrixCount, c, d]);
  addCombinations(backend, forward, filter, out);
  return out;
}

/** The filter that carries gradients back, turned around and [3, 3, d, c], as 16 matrices [d, c]. */
export function transformedBackwardFilter(backend: BackendWasm, filter: TensorInfo): TensorInfo {
  const [, , c, d] = filter.shape;
  const swapped = runKernel(tf.Transpose, backend, { x: filter }, { perm: [0, 1, 3, 2] });
  const out = zeros(backend, [matrixCount, d, c]);
  addCombinations(backend, turned, swapped, out);
  dispose(backend, swapped);
  return out;
}

/** Adds to `out` the filter gradient [3, 3, c, d] that the gradient of its 16 matrices [c, d] makes. */
export function addFilterGradient(backend: BackendWasm, matrices: TensorInfo, out: TensorInfo): void {
  addCombinations(backend, adjoint, matrices, out);
}
