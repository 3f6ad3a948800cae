import * as tf from '@tensorflow/tfjs';
import type { BackendWasm } from '@tensorflow/tfjs-backend-wasm';
import {
  addressOf,
  dispose,
  type KernelCall,
  runKernel,
  type TensorInfo,
  wasmKernel,
  zeros,
} from './kernel.js';
import { simdOf } from './simd/module.js';

/** Rows of B that one pass multiplies: few enough for them to stay in the processor's second cache. */
const innerPerPass = 256;

interface Matrices {
  a: TensorInfo;
  b: TensorInfo;
}

interface Transposition {
  transposeA: boolean;
  transposeB: boolean;
}

/** Element offsets of the matrices of each batch entry under NumPy's broadcasting rules. */
function matrixOffsets(
  batchShape: readonly number[],
  tensorBatch: readonly number[],
  matrixSize: number,
): number[] {
  let offsets = [0];
  let stride = matrixSize;
  const strides = batchShape.map(() => 0);
  for (let axis = tensorBatch.length - 1; axis >= 0; axis--) {
    const outAxis = axis + batchShape.length - tensorBatch.length;
    if (tensorBatch[axis] !== 1) strides[outAxis] = stride;
    stride *= tensorBatch[axis];
  }
  for (const [axis, length] of batchShape.entries()) {
    offsets = offsets.flatMap((start) => Array.from({ length }, (_, i) => start + i * strides[axis]));
  }
  return offsets;
}

/** Shape of the product of (a batch of) matrices, a [..., m, k] and b [..., k, n] after transposition. */
export function productShape({ a, b }: Matrices, { transposeA, transposeB }: Transposition): number[] {
  const batch = tf.broadcast_util.assertAndGetBroadcastShape(a.shape.slice(0, -2), b.shape.slice(0, -2));
  return [...batch, a.shape.at(transposeA ? -1 : -2)!, b.shape.at(transposeB ? -2 : -1)!];
}

/**
 * Adds the product of (a batch of) float32 matrices to `out`. Each transposition has a loop order of its own that
 * reads both matrices as they lie, so nothing is transposed or packed first.
 */
export function addMatMul(
  backend: BackendWasm,
  { a, b }: Matrices,
  { transposeA, transposeB }: Transposition,
  out: TensorInfo,
): void {
  const [aRows, aColumns] = a.shape.slice(-2);
  const [bRows, bColumns] = b.shape.slice(-2);
  const [m, n] = out.shape.slice(-2);
  const k = transposeA ? aRows : aColumns;
  if (m * n * k === 0) return;
  if (transposeA && transposeB) {
    const order = a.shape.map((_, axis) => axis);
    const perm = [...order.slice(0, -2), order.length - 1, order.length - 2];
    const aTransposed = runKernel('Transpose', backend, { x: a }, { perm });
    addMatMul(backend, { a: aTransposed, b }, { transposeA: false, transposeB }, out);
    dispose(backend, aTransposed);
    return;
  }
  const simd = simdOf(backend);
  const batchShape = out.shape.slice(0, -2);
  const aOffsets = matrixOffsets(batchShape, a.shape.slice(0, -2), aRows * aColumns);
  const bOffsets = matrixOffsets(batchShape, b.shape.slice(0, -2), bRows * bColumns);
  const [aAt, bAt, outAt] = [a, b, out].map((tensor) => addressOf(backend, tensor));
  const [aStep, bStep, outStep] = [4 * aColumns, 4 * bColumns, 4 * n];
  for (let entry = 0; entry < aOffsets.length; entry++) {
    const aEntry = aAt + 4 * aOffsets[entry];
    const bEntry = bAt + 4 * bOffsets[entry];
    const outEntry = outAt + 4 * entry * m * n;
    if (transposeA) {
      simd.addTransposedProduct(aEntry, 0, aStep, bEntry, 0, bStep, k, 1, outEntry, outStep, m, n);
    } else if (transposeB) {
      simd.addProductTransposed(aEntry, aStep, bEntry, bStep, outEntry, outStep, m, n, k);
    } else {
      for (let from = 0; from < k; from += innerPerPass) {
        const inner = Math.min(innerPerPass, k - from);
        simd.addProduct(
          aEntry + 4 * from,
          aStep,
          bEntry + bStep * from,
          bStep,
          outEntry,
          outStep,
          m,
          inner,
          n,
        );
      }
    }
  }
}

/** BatchMatMul. a [..., m, k] and b [..., k, n], either transposed, float32; gives [..., m, n]. */
function batchMatMul({ inputs, attrs, backend }: KernelCall<Matrices, Transposition>): TensorInfo {
  const out = zeros(backend, productShape(inputs, attrs));
  addMatMul(backend, inputs, attrs, out);
  return out;
}

export const batchMatMulKernel = wasmKernel(tf.BatchMatMul, batchMatMul);
