import * as tf from '@tensorflow/tfjs';
import { type Conv2DAttributes, conv2DInfo, tapsOf } from './conv2d-geometry.js';
import { addressOf, dispose, floats, type KernelCall, type TensorInfo, wasmKernel, zeros } from './kernel.js';
import { simdOf } from './simd/module.js';
import { addWinogradFilterGradient, winogradFits } from './winograd.js';

interface Inputs {
  x: TensorInfo;
  dy: TensorInfo;
}

type Attributes = Conv2DAttributes & { filterShape: [number, number, number, number] };

/** Bytes of input and output gradient that one pass reads: they stay in the processor's first cache. */
const bytesPerPass = 32 * 1024;

/**
 * Conv2DBackpropFilter, NHWC, any stride and padding; float32. For x [n, h, w, c] and dy [n, oh, ow, d] gives
 * [kh, kw, c, d]: for each tap, the sum over all positions of the outer product of the input pixel that the tap
 * reads and the output's gradient there. Each sample is summed from zero, then added, which halves the digits lost.
 */
function conv2DBackpropFilter({ inputs, attrs, backend }: KernelCall<Inputs, Attributes>): TensorInfo {
  const info = conv2DInfo(inputs.x.shape, attrs.filterShape, attrs);
  const { batchSize, inHeight, inWidth, inChannels, outHeight, outWidth, outChannels } = info;
  const out = zeros(backend, info.filterShape);
  if (winogradFits(info)) {
    addWinogradFilterGradient(backend, inputs.x, inputs.dy, info, out);
    return out;
  }
  const ofSample = zeros(backend, info.filterShape);
  const { addRows, addTransposedProduct } = simdOf(backend);
  const taps = tapsOf(info);
  const size = tf.util.sizeFromShape(info.filterShape);
  const [xAt, dyAt, outAt, ofSampleAt] = [inputs.x, inputs.dy, out, ofSample].map((tensor) =>
    addressOf(backend, tensor),
  );
  const [xPixel, dyPixel] = [4 * inChannels, 4 * outChannels];
  const rowBytes = inWidth * xPixel * info.strideHeight + outWidth * dyPixel;
  const rowsPerPass = Math.max(1, Math.floor(bytesPerPass / rowBytes));
  for (let sample = 0; sample < batchSize; sample++) {
    floats(backend, ofSample).fill(0);
    for (let start = 0; start < outHeight; start += rowsPerPass) {
      for (const { index, rows, columns, span } of taps) {
        const from = Math.max(start, rows.from);
        const to = Math.min(start + rowsPerPass, rows.to);
        if (to <= from) continue;
        const xRow = sample * inHeight + rows.input + (from - rows.from) * info.strideHeight;
        const dyRow = sample * outHeight + from;
        addTransposedProduct(
          xAt + (xRow * inWidth + columns.input) * xPixel,
          info.strideWidth * xPixel,
          info.strideHeight * inWidth * xPixel,
          dyAt + (dyRow * outWidth + columns.from) * dyPixel,
          dyPixel,
          outWidth * dyPixel,
          to - from,
          columns.to - columns.from,
          ofSampleAt + index * xPixel * outChannels,
          dyPixel,
          span * inChannels,
          outChannels,
        );
      }
    }
    addRows(ofSampleAt, 0, 1, outAt, size);
  }
  dispose(backend, ofSample);
  return out;
}

export const conv2DBackpropFilterKernel = wasmKernel(tf.Conv2DBackpropFilter, conv2DBackpropFilter);
