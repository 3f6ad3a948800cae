import * as tf from '@tensorflow/tfjs';
import type { BackendWasm } from '@tensorflow/tfjs-backend-wasm';
import { activated, type FusedAttributes, type FusedInputs, startFromBias } from './activation.js';
import { type Conv2DAttributes, type Conv2DInfo, conv2DInfo, tapsOf } from './conv2d-geometry.js';
import { addressOf, type KernelCall, type TensorInfo, wasmKernel } from './kernel.js';
import { simdOf } from './simd/module.js';
import { addWinogradConvolution, winogradFits } from './winograd.js';

type Inputs = FusedInputs & { x: TensorInfo; filter: TensorInfo };

/**
 * Adds the convolution of `x` [n, h, w, c] with `filter` [kh, kw, c, d] to `out` [n, oh, ow, d]: for each output
 * row and filter tap, a row of input pixels times the tap's [c, d] matrix.
 */
function addConvolution(
  backend: BackendWasm,
  x: TensorInfo,
  filter: TensorInfo,
  info: Conv2DInfo,
  out: TensorInfo,
): void {
  if (winogradFits(info)) {
    addWinogradConvolution(backend, x, filter, info, out);
    return;
  }
  const { addProduct } = simdOf(backend);
  const { batchSize, inHeight, inWidth, inChannels, outHeight, outWidth, outChannels } = info;
  const taps = tapsOf(info);
  const [xAt, filterAt, outAt] = [x, filter, out].map((tensor) => addressOf(backend, tensor));
  const [xPixel, outPixel] = [4 * inChannels, 4 * outChannels];
  const tapBytes = xPixel * outChannels;
  for (let sample = 0; sample < batchSize; sample++) {
    for (let row = 0; row < outHeight; row++) {
      const outRow = outAt + (sample * outHeight + row) * outWidth * outPixel;
      for (const { index, rows, columns, span } of taps) {
        if (row < rows.from || row >= rows.to) continue;
        const xRow = sample * inHeight + rows.input + (row - rows.from) * info.strideHeight;
        addProduct(
          xAt + (xRow * inWidth + columns.input) * xPixel,
          info.strideWidth * xPixel,
          filterAt + index * tapBytes,
          outPixel,
          outRow + columns.from * outPixel,
          outPixel,
          columns.to - columns.from,
          span * inChannels,
          outChannels,
        );
      }
    }
  }
}

/** Conv2D, NHWC, any stride, dilation and padding; float32. */
function conv2D({ inputs, attrs, backend }: KernelCall<Inputs, Conv2DAttributes>): TensorInfo {
  const info = conv2DInfo(inputs.x.shape, inputs.filter.shape, attrs);
  const out = startFromBias(backend, info.outShape, undefined);
  addConvolution(backend, inputs.x, inputs.filter, info, out);
  return out;
}

/** FusedConv2D: activation(conv2D(x, filter) + bias). */
function fusedConv2D({
  inputs,
  attrs,
  backend,
}: KernelCall<Inputs, Conv2DAttributes & FusedAttributes>): TensorInfo {
  const info = conv2DInfo(inputs.x.shape, inputs.filter.shape, attrs);
  const out = startFromBias(backend, info.outShape, inputs.bias);
  addConvolution(backend, inputs.x, inputs.filter, info, out);
  return activated(backend, out, inputs, attrs);
}

export const conv2DKernel = wasmKernel(tf.Conv2D, conv2D);
export const fusedConv2DKernel = wasmKernel(tf.FusedConv2D, fusedConv2D);
