import * as tf from '@tensorflow/tfjs';
import { addressOf, type KernelCall, type TensorInfo, wasmKernel, zeros } from './kernel.js';
import { simdOf } from './simd/module.js';

interface Inputs {
  dy: TensorInfo;
  input: TensorInfo;
  output: TensorInfo;
}

type Attributes = Pick<tf.MaxPoolGradAttrs, 'filterSize' | 'strides' | 'pad' | 'dimRoundingMode'>;

/**
 * MaxPoolGrad, NHWC; float32. dy and output [n, oh, ow, c], input [n, h, w, c]; gives [n, h, w, c]. Among equal
 * maxima the first of the window (row by row) takes the gradient, as in the cpu backend.
 */
function maxPoolGrad({ inputs, attrs, backend }: KernelCall<Inputs, Attributes>): TensorInfo {
  const { dy, input, output } = inputs;
  const info = tf.backend_util.computePool2DInfo(
    input.shape as [number, number, number, number],
    attrs.filterSize,
    attrs.strides,
    1,
    attrs.pad,
    attrs.dimRoundingMode,
  );
  const { batchSize, inChannels, inHeight, inWidth, outHeight, outWidth, padInfo } = info;
  const dx = zeros(backend, input.shape);
  const { addMaxPoolGradient } = simdOf(backend);
  const [xAt, dxAt, yAt, dyAt] = [input, dx, output, dy].map((tensor) => addressOf(backend, tensor));
  const pixel = 4 * inChannels;
  for (let sample = 0; sample < batchSize; sample++) {
    for (let row = 0; row < outHeight; row++) {
      const top = row * info.strideHeight - padInfo.top;
      const firstRow = Math.max(0, top);
      const rows = Math.min(inHeight, top + info.filterHeight) - firstRow;
      for (let column = 0; column < outWidth; column++) {
        const left = column * info.strideWidth - padInfo.left;
        const firstColumn = Math.max(0, left);
        const columns = Math.min(inWidth, left + info.filterWidth) - firstColumn;
        if (rows <= 0 || columns <= 0) continue;
        const window = ((sample * inHeight + firstRow) * inWidth + firstColumn) * pixel;
        const position = ((sample * outHeight + row) * outWidth + column) * pixel;
        addMaxPoolGradient(
          xAt + window,
          dxAt + window,
          yAt + position,
          dyAt + position,
          rows,
          columns,
          inWidth * pixel,
          pixel,
          inChannels,
        );
      }
    }
  }
  return dx;
}

export const maxPoolGradKernel = wasmKernel(tf.MaxPoolGrad, maxPoolGrad);
