import * as tf from '@tensorflow/tfjs';
import { type Conv2DAttributes, conv2DInfo } from './conv2d-geometry.js';
import { type KernelCall, type TensorInfo, wasmKernel } from './kernel.js';
import { runStock } from './stock.js';

interface Inputs {
  x: TensorInfo;
  filter: TensorInfo;
}

/**
 * The stock kernel, told its padding in pixels: given 'same' with a stride larger than the filter, it works out a
 * negative padding and gives wrong numbers.
 */
const withExplicitPadding = (kernelName: string): tf.KernelConfig =>
  wasmKernel(kernelName, ({ inputs, attrs, backend }: KernelCall<Inputs, Conv2DAttributes>) => {
    const { padInfo } = conv2DInfo(inputs.x.shape, inputs.filter.shape, attrs, true);
    const { top, bottom, left, right } = padInfo;
    const rows: [number, number] = [top, bottom];
    const columns: [number, number] = [left, right];
    return runStock(
      kernelName,
      backend,
      { ...inputs },
      { ...attrs, dilations: attrs.dilations ?? 1, pad: [[0, 0], rows, columns, [0, 0]] },
    );
  });

export const depthwiseConv2DKernel = withExplicitPadding(tf.DepthwiseConv2dNative);
export const fusedDepthwiseConv2DKernel = withExplicitPadding(tf.FusedDepthwiseConv2D);
