import * as tf from '@tensorflow/tfjs';
import type { Attributes } from '../graph.js';
import type { OnnxAttributes } from '../onnx/onnx-graph.js';
import { CompileRefusal } from '../refusal.js';

/** How a filter or pooling window moves over an image, as TensorFlow.js computes it. */
export type Window = ReturnType<typeof tf.backend_util.computeConv2DInfo>;

type Shape4D = [number, number, number, number];
type Pair = [number, number] | number;
type Rounding = 'floor' | 'round' | 'ceil' | undefined;

export function convolutionWindow(
  x: readonly number[],
  filter: readonly number[],
  attributes: Attributes,
  depthwise = false,
): Window {
  const { strides, dilations = 1, pad, dimRoundingMode, dataFormat = 'NHWC' } = attributes;
  if (dataFormat !== 'NHWC') throw new CompileRefusal(`the data format ${dataFormat}`, {});
  return tf.backend_util.computeConv2DInfo(
    [...x] as Shape4D,
    [...filter] as Shape4D,
    strides as Pair,
    (dilations ?? 1) as Pair,
    pad as 'same' | 'valid',
    dimRoundingMode as Rounding,
    depthwise,
  );
}

export function poolingWindow(x: readonly number[], attributes: Attributes): Window {
  const { filterSize, strides, pad, dimRoundingMode } = attributes;
  return tf.backend_util.computePool2DInfo(
    [...x] as Shape4D,
    filterSize as Pair,
    strides as Pair,
    1,
    pad as 'same' | 'valid',
    dimRoundingMode as Rounding,
  );
}

/** The rows and columns around the image that the windows reach into: the end's follow from the output's size. */
export function paddingOf(window: Window): { before: [number, number]; after: [number, number] } {
  const { padInfo, inHeight, inWidth, outHeight, outWidth } = window;
  const reach = (out: number, stride: number, filter: number) => (out - 1) * stride + filter;
  const height = reach(outHeight, window.strideHeight, window.effectiveFilterHeight);
  const width = reach(outWidth, window.strideWidth, window.effectiveFilterWidth);
  return {
    before: [padInfo.top, padInfo.left],
    after: [Math.max(0, height - inHeight - padInfo.top), Math.max(0, width - inWidth - padInfo.left)],
  };
}

/** The attributes of ONNX's Conv and pooling operators. */
export function windowAttributes(window: Window): OnnxAttributes {
  const { before, after } = paddingOf(window);
  return {
    kernel_shape: [window.filterHeight, window.filterWidth],
    strides: [window.strideHeight, window.strideWidth],
    dilations: [window.dilationHeight, window.dilationWidth],
    pads: [...before, ...after],
  };
}

/** The same for ConvTranspose, which gives back an image of the window's input size. */
export function transposedAttributes(window: Window): OnnxAttributes {
  const { before, after } = paddingOf(window);
  const covered = (out: number, stride: number, filter: number, padding: number) =>
    (out - 1) * stride + filter - padding;
  const { outHeight, outWidth, strideHeight, strideWidth } = window;
  const height = covered(outHeight, strideHeight, window.effectiveFilterHeight, before[0] + after[0]);
  const width = covered(outWidth, strideWidth, window.effectiveFilterWidth, before[1] + after[1]);
  return { ...windowAttributes(window), output_padding: [window.inHeight - height, window.inWidth - width] };
}
