import * as tf from '@tensorflow/tfjs';
import { type KernelCall, type TensorInfo, wasmKernel } from './kernel.js';

/** Tile: x repeated `reps[axis]` times along each axis; any numeric dtype. Repeats are copied by doubling. */
function tile({ inputs, attrs, backend }: KernelCall<{ x: TensorInfo }, { reps: number[] }>): TensorInfo {
  const { x } = inputs;
  const { reps } = attrs;
  const out = backend.makeOutput(
    x.shape.map((length, axis) => length * reps[axis]),
    x.dtype,
  );
  const from = backend.typedArrayFromHeap(x);
  const to = backend.typedArrayFromHeap(out);
  if (to.length === 0) return out;
  const rank = x.shape.length;
  // From this axis on nothing repeats: one block of x is copied at once.
  const blockAxis = reps.findLastIndex((count) => count !== 1) + 1;
  const block = x.shape.slice(blockAxis).reduce((size, length) => size * length, 1);
  let source = 0;
  /** Fills what lies under `axis` from element `start` of the output on; returns where it ends. */
  const fill = (axis: number, start: number): number => {
    if (axis === blockAxis || axis === rank) {
      if (block === 1) to[start] = from[source];
      else to.set(from.subarray(source, source + block), start);
      source += block;
      return start + block;
    }
    let once = start;
    for (let i = 0; i < x.shape[axis]; i++) once = fill(axis + 1, once);
    const end = start + (once - start) * reps[axis];
    for (let filled = once; filled < end; filled += filled - start) {
      to.copyWithin(filled, start, Math.min(filled, start + end - filled));
    }
    return end;
  };
  fill(0, 0);
  return out;
}

export const tileKernel = wasmKernel(tf.Tile, tile);
