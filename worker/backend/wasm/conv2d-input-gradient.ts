import * as tf from '@tensorflow/tfjs';
import { type Conv2DAttributes, conv2DInfo, tapsOf } from './conv2d-geometry.js';
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
import { addWinogradInputGradient, winogradFits } from './winograd.js';

interface Inputs {
  dy: TensorInfo;
  filter: TensorInfo;
}

type Attributes = Conv2DAttributes & { inputShape: [number, number, number, number] };

/** Below this many input channels a vector along them would be mostly empty: dot products along d are faster. */
const fewChannels = 4;

/**
 * Conv2DBackpropInput, NHWC, any stride and padding; float32. For dy [n, oh, ow, d] and filter [kh, kw, c, d] gives
 * [n, h, w, c]: each row of dy times the tap's [d, c] matrix, added where that tap had read its input.
 */
function conv2DBackpropInput({ inputs, attrs, backend }: KernelCall<Inputs, Attributes>): TensorInfo {
  const { dy, filter } = inputs;
  const info = conv2DInfo(attrs.inputShape, filter.shape, attrs);
  const { batchSize, inHeight, inWidth, inChannels, outHeight, outWidth, outChannels } = info;
  const out = zeros(backend, info.inShape);
  if (winogradFits(info)) {
    addWinogradInputGradient(backend, dy, filter, info, out);
    return out;
  }
  const byDotProducts = inChannels < fewChannels;
  const matrices = byDotProducts
    ? reshaped(backend, filter, filter.shape)
    : runKernel('Transpose', backend, { x: filter }, { perm: [0, 1, 3, 2] });
  const { addProduct, addProductTransposed } = simdOf(backend);
  const taps = tapsOf(info);
  const [dyAt, filterAt, outAt] = [dy, matrices, out].map((tensor) => addressOf(backend, tensor));
  const [xPixel, dyPixel] = [4 * inChannels, 4 * outChannels];
  for (let sample = 0; sample < batchSize; sample++) {
    for (let row = 0; row < outHeight; row++) {
      const dyRow = dyAt + (sample * outHeight + row) * outWidth * dyPixel;
      for (const { index, rows, columns, span } of taps) {
        if (row < rows.from || row >= rows.to) continue;
        const xRow = sample * inHeight + rows.input + (row - rows.from) * info.strideHeight;
        const xStart = outAt + (xRow * inWidth + columns.input) * xPixel;
        const dyStart = dyRow + columns.from * dyPixel;
        const count = columns.to - columns.from;
        const xStep = info.strideWidth * xPixel;
        if (byDotProducts) {
          const tapsAt = filterAt + index * xPixel * outChannels;
          const width = span * inChannels;
          addProductTransposed(dyStart, dyPixel, tapsAt, dyPixel, xStart, xStep, count, width, outChannels);
          continue;
        }
        for (let tap = 0; tap < span; tap++) {
          addProduct(
            dyStart,
            dyPixel,
            filterAt + (index + tap) * xPixel * outChannels,
            xPixel,
            xStart + tap * xPixel,
            xStep,
            count,
            outChannels,
            inChannels,
          );
        }
      }
    }
  }
  dispose(backend, matrices);
  return out;
}

export const conv2DBackpropInputKernel = wasmKernel(tf.Conv2DBackpropInput, conv2DBackpropInput);
