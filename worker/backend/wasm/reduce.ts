import * as tf from '@tensorflow/tfjs';
import type { BackendWasm } from '@tensorflow/tfjs-backend-wasm';
import { addressOf, dispose, floats, type KernelCall, type TensorInfo, wasmKernel, zeros } from './kernel.js';
import { simdOf } from './simd/module.js';
import { runStock } from './stock.js';

type Attributes = { axis: number | number[]; keepDims: boolean };
type Call = KernelCall<{ x: TensorInfo }, Attributes>;

/** Rows that are added one after another, from zero. */
const rowsPerBlock = 128;

/** A reduction of the middle axis of [outer, reduced, inner]. */
interface Reduction {
  outer: number;
  reduced: number;
  inner: number;
  outShape: number[];
}

/** The reduction as one over neighbouring axes that are not the last, or null if it is of another kind. */
function middleReduction(shape: readonly number[], { axis, keepDims }: Attributes): Reduction | null {
  const axes = new Set(tf.util.parseAxisParam(axis, [...shape]));
  const reducedAxes = shape.flatMap((length, i) => (axes.has(i) && length !== 1 ? [i] : []));
  if (reducedAxes.length === 0) return null;
  const [first, last] = [reducedAxes[0], reducedAxes[reducedAxes.length - 1]];
  const sizeOf = (lengths: readonly number[]): number => lengths.reduce((size, length) => size * length, 1);
  const between = shape.slice(first, last + 1);
  const inner = sizeOf(shape.slice(last + 1));
  const outer = sizeOf(shape.slice(0, first));
  const contiguous = between.every((length, i) => axes.has(first + i) || length === 1);
  if (!contiguous || inner === 1 || outer * inner * sizeOf(between) === 0) return null;
  const outShape = keepDims
    ? shape.map((length, i) => (axes.has(i) ? 1 : length))
    : shape.filter((_, i) => !axes.has(i));
  return { outer, reduced: sizeOf(between), inner, outShape };
}

/**
 * Sums blocks of rows, then the sums of the blocks in the same way: the rounding error grows with the depth of this
 * tree, not with the number of rows (Higham 1993, "The accuracy of floating point summation", section 2).
 */
function addRowsInBlocks(backend: BackendWasm, x: number, rows: number, out: number, inner: number): void {
  const { addRows } = simdOf(backend);
  const rowBytes = 4 * inner;
  if (rows <= rowsPerBlock) {
    addRows(x, rowBytes, rows, out, inner);
    return;
  }
  const blocks = Math.ceil(rows / rowsPerBlock);
  const partials = zeros(backend, [blocks, inner]);
  const partialsAt = addressOf(backend, partials);
  for (let block = 0; block < blocks; block++) {
    const from = block * rowsPerBlock;
    const count = Math.min(rowsPerBlock, rows - from);
    addRows(x + from * rowBytes, rowBytes, count, partialsAt + block * rowBytes, inner);
  }
  addRowsInBlocks(backend, partialsAt, blocks, out, inner);
  dispose(backend, partials);
}

function reduceMiddle(backend: BackendWasm, x: TensorInfo, reduction: Reduction): TensorInfo {
  const { outer, reduced, inner, outShape } = reduction;
  const out = zeros(backend, outShape);
  const [xAt, outAt] = [addressOf(backend, x), addressOf(backend, out)];
  for (let entry = 0; entry < outer; entry++) {
    addRowsInBlocks(backend, xAt + 4 * entry * reduced * inner, reduced, outAt + 4 * entry * inner, inner);
  }
  return out;
}

/** Sum. Reductions over leading or middle axes (BatchNorm, bias gradients) are ours, the rest stock. */
function sum({ inputs, attrs, backend }: Call): TensorInfo {
  const { x } = inputs;
  const reduction = x.dtype === 'float32' ? middleReduction(x.shape, attrs) : null;
  return reduction === null
    ? runStock(tf.Sum, backend, { x }, { ...attrs })
    : reduceMiddle(backend, x, reduction);
}

/** Mean, by the same sums. */
function mean({ inputs, attrs, backend }: Call): TensorInfo {
  const { x } = inputs;
  const reduction = x.dtype === 'float32' ? middleReduction(x.shape, attrs) : null;
  if (reduction === null) return runStock(tf.Mean, backend, { x }, { ...attrs });
  const out = reduceMiddle(backend, x, reduction);
  const values = floats(backend, out);
  for (let i = 0; i < values.length; i++) values[i] /= reduction.reduced;
  return out;
}

export const sumKernel = wasmKernel(tf.Sum, sum);
export const meanKernel = wasmKernel(tf.Mean, mean);
