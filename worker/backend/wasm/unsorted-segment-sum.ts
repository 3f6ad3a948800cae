import * as tf from '@tensorflow/tfjs';
import { invariant } from '../../../shared/errors.js';
import { floats, type KernelCall, type TensorInfo, wasmKernel, zeros } from './kernel.js';

interface Inputs {
  x: TensorInfo;
  segmentIds: TensorInfo;
}

/**
 * UnsortedSegmentSum: the gradient of a gather along the first axis (Embedding). x [n, …] float32 and segmentIds [n]
 * int32; gives [numSegments, …], rows of equal id added in their order. Rows with a negative id are left out, as in
 * TensorFlow.
 */
function unsortedSegmentSum({
  inputs,
  attrs,
  backend,
}: KernelCall<Inputs, { numSegments: number }>): TensorInfo {
  const { x, segmentIds } = inputs;
  const rowShape = x.shape.slice(segmentIds.shape.length);
  const out = zeros(backend, [attrs.numSegments, ...rowShape]);
  const width = rowShape.reduce((size, length) => size * length, 1);
  const ids = backend.typedArrayFromHeap(segmentIds);
  const from = floats(backend, x);
  const to = floats(backend, out);
  for (let row = 0; row < ids.length; row++) {
    const segment = ids[row];
    if (segment < 0) continue;
    invariant(segment < attrs.numSegments, `segment id ${segment} is not below ${attrs.numSegments}`);
    for (let i = 0, source = row * width, target = segment * width; i < width; i++)
      to[target++] += from[source++];
  }
  return out;
}

export const unsortedSegmentSumKernel = wasmKernel(tf.UnsortedSegmentSum, unsortedSegmentSum);
