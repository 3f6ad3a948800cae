import * as tf from '@tensorflow/tfjs';
import type { BackendWasm } from '@tensorflow/tfjs-backend-wasm';
import { type Conv2DAttributes, type Conv2DInfo, conv2DInfo, type Tap, tapsOf } from './conv2d-geometry.js';
import {
  addressOf,
  dispose,
  type KernelCall,
  reshaped,
  runKernel,
  type TensorInfo,
  wasmKernel,
  zeros,
} from './kernel.js';
import { simdOf } from './simd/module.js';

type Shape4D = [number, number, number, number];

/** Calls `visit` with the first pixel (element index / channels) of each run of outputs and of its inputs. */
function eachRun(
  info: Conv2DInfo,
  taps: readonly Tap[],
  visit: (tap: Tap, inputPixel: number, outputPixel: number, count: number) => void,
): void {
  const { batchSize, inHeight, inWidth, outHeight, outWidth, strideHeight } = info;
  for (let sample = 0; sample < batchSize; sample++) {
    for (const tap of taps) {
      const { rows, columns } = tap;
      for (let row = rows.from; row < rows.to; row++) {
        const inRow = sample * inHeight + rows.input + (row - rows.from) * strideHeight;
        const outRow = sample * outHeight + row;
        const count = columns.to - columns.from;
        visit(tap, inRow * inWidth + columns.input, outRow * outWidth + columns.from, count);
      }
    }
  }
}

/** x [n, h, w, c] with each channel repeated q times: the input that each of the c·q output channels reads. */
function repeatChannels(backend: BackendWasm, x: TensorInfo, q: number): TensorInfo {
  const [n, h, w, c] = x.shape;
  const split = reshaped(backend, x, [n, h, w, c, 1]);
  const repeated = q === 1 ? split : runKernel('Tile', backend, { x: split }, { reps: [1, 1, 1, 1, q] });
  if (repeated !== split) dispose(backend, split);
  return { ...repeated, shape: [n, h, w, c * q] };
}

/**
 * DepthwiseConv2dNativeBackpropFilter, NHWC, any stride, dilation and padding; float32. x [n, h, w, c] and dy
 * [n, oh, ow, c·q]; gives [kh, kw, c, q].
 */
function backpropFilter({
  inputs,
  attrs,
  backend,
}: KernelCall<{ x: TensorInfo; dy: TensorInfo }, Conv2DAttributes & { filterShape: Shape4D }>): TensorInfo {
  const info = conv2DInfo(inputs.x.shape, attrs.filterShape, attrs, true);
  const channels = info.outChannels;
  const x = repeatChannels(backend, inputs.x, attrs.filterShape[3]);
  const out = zeros(backend, attrs.filterShape);
  const { addMultipliedRows } = simdOf(backend);
  const [xAt, dyAt, outAt] = [x, inputs.dy, out].map((tensor) => addressOf(backend, tensor));
  const pixel = 4 * channels;
  eachRun(info, tapsOf(info, 'each'), ({ index }, inputPixel, outputPixel, count) => {
    addMultipliedRows(
      xAt + inputPixel * pixel,
      info.strideWidth * pixel,
      dyAt + outputPixel * pixel,
      pixel,
      outAt + index * pixel,
      0,
      count,
      channels,
    );
  });
  dispose(backend, x);
  return out;
}

/**
 * DepthwiseConv2dNativeBackpropInput, NHWC, any stride, dilation and padding; float32. dy [n, oh, ow, c·q] and filter
 * [kh, kw, c, q]; gives [n, h, w, c].
 */
function backpropInput({
  inputs,
  attrs,
  backend,
}: KernelCall<
  { dy: TensorInfo; filter: TensorInfo },
  Conv2DAttributes & { inputShape: Shape4D }
>): TensorInfo {
  const { dy, filter } = inputs;
  const info = conv2DInfo(attrs.inputShape, filter.shape, attrs, true);
  const channels = info.outChannels;
  const [n, h, w, c] = attrs.inputShape;
  const q = filter.shape[3];
  const out = zeros(backend, [n, h, w, c, q]);
  const { addMultipliedRows } = simdOf(backend);
  const [dyAt, filterAt, outAt] = [dy, filter, out].map((tensor) => addressOf(backend, tensor));
  const pixel = 4 * channels;
  eachRun(info, tapsOf(info, 'each'), ({ index }, inputPixel, outputPixel, count) => {
    addMultipliedRows(
      dyAt + outputPixel * pixel,
      pixel,
      filterAt + index * pixel,
      0,
      outAt + inputPixel * pixel,
      info.strideWidth * pixel,
      count,
      channels,
    );
  });
  if (q === 1) return { ...out, shape: [n, h, w, c] };
  const summed = runKernel('Sum', backend, { x: out }, { axis: 4, keepDims: false });
  dispose(backend, out);
  return summed;
}

export const depthwiseBackpropFilterKernel = wasmKernel(
  tf.DepthwiseConv2dNativeBackpropFilter,
  backpropFilter,
);
export const depthwiseBackpropInputKernel = wasmKernel(tf.DepthwiseConv2dNativeBackpropInput, backpropInput);
