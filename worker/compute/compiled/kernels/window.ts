import * as tf from '@tensorflow/tfjs';
import type { Attributes } from '../graph.js';
import type { OnnxAttributes } from '../onnx/onnx-graph.js';
import { CompileRefusal } from '../refusal.js';

type Shape4D = [number, number, number, number];
type Shape5D = [number, number, number, number, number];
type Pair = [number, number] | number;
type Triple = [number, number, number] | number;
type Padding = 'same' | 'valid';
type Rounding = 'floor' | 'round' | 'ceil' | undefined;
type Info2D = ReturnType<typeof tf.backend_util.computeConv2DInfo>;
type Info3D = ReturnType<typeof tf.backend_util.computeConv3DInfo>;

/** One axis along which a filter or pooling window moves. */
interface Axis {
  /** Pixels of the image. */
  readonly length: number;
  /** Places of the window. */
  readonly places: number;
  readonly filter: number;
  readonly stride: number;
  readonly dilation: number;
  /** Pixels before the image that the windows reach into. */
  readonly before: number;
}

/** How a filter or pooling window moves over an image or a volume, as TensorFlow.js computes it. */
export interface Window {
  readonly batchSize: number;
  readonly inChannels: number;
  readonly outChannels: number;
  /** Channels last. */
  readonly outShape: readonly number[];
  readonly axes: readonly Axis[];
}

const axis = (
  length: number,
  places: number,
  [filter, stride, dilation, before]: [number, number, number, number],
): Axis => ({ length, places, filter, stride, dilation, before });

function windowOf(info: Info2D | Info3D): Window {
  const { batchSize, inChannels, outChannels, outShape, padInfo } = info;
  const { inHeight, inWidth, outHeight, outWidth, filterHeight, filterWidth } = info;
  const axes = [
    axis(inHeight, outHeight, [filterHeight, info.strideHeight, info.dilationHeight, padInfo.top]),
    axis(inWidth, outWidth, [filterWidth, info.strideWidth, info.dilationWidth, padInfo.left]),
  ];
  if ('inDepth' in info) {
    const { strideDepth, dilationDepth } = info;
    const { front } = info.padInfo;
    axes.unshift(axis(info.inDepth, info.outDepth, [info.filterDepth, strideDepth, dilationDepth, front]));
  }
  // For volumes TensorFlow.js computes a padding below 0 where a stride is longer than the window.
  if (axes.some(({ before }) => before < 0)) throw new CompileRefusal('windows that begin in the volume', {});
  return { batchSize, inChannels, outChannels, outShape, axes };
}

/** @param x channels last, of rank 4 or 5 */
export function convolutionWindow(
  x: readonly number[],
  filter: readonly number[],
  attributes: Attributes,
  depthwise = false,
): Window {
  const { strides, dilations, pad, dimRoundingMode, dataFormat = 'NHWC' } = attributes;
  if (dataFormat !== 'NHWC' && dataFormat !== 'NDHWC') {
    throw new CompileRefusal(`the data format ${dataFormat}`, {});
  }
  if (x.length === 5) {
    const [shape, filterShape] = [[...x] as Shape5D, [...filter] as Shape5D];
    const moves = [strides as Triple, (dilations ?? 1) as Triple] as const;
    return windowOf(tf.backend_util.computeConv3DInfo(shape, filterShape, ...moves, pad as Padding));
  }
  return windowOf(
    tf.backend_util.computeConv2DInfo(
      [...x] as Shape4D,
      [...filter] as Shape4D,
      strides as Pair,
      (dilations ?? 1) as Pair,
      pad as Padding,
      dimRoundingMode as Rounding,
      depthwise,
    ),
  );
}

/** @param x channels last, of rank 4 or 5 */
export function poolingWindow(x: readonly number[], attributes: Attributes): Window {
  const { filterSize, strides, pad, dimRoundingMode } = attributes;
  const [padding, rounding] = [pad as Padding, dimRoundingMode as Rounding];
  if (x.length === 5) {
    const sizes = [filterSize as Triple, strides as Triple] as const;
    return windowOf(tf.backend_util.computePool3DInfo([...x] as Shape5D, ...sizes, 1, padding, rounding));
  }
  const sizes = [filterSize as Pair, strides as Pair] as const;
  return windowOf(tf.backend_util.computePool2DInfo([...x] as Shape4D, ...sizes, 1, padding, rounding));
}

/** Pixels from the first to the last that a window at one place can see. */
export const spanOf = ({ filter, dilation }: Axis): number => (filter - 1) * dilation + 1;

/** How far the windows reach beyond the end of the image. */
export const afterOf = (a: Axis): number =>
  Math.max(0, (a.places - 1) * a.stride + spanOf(a) - a.length - a.before);

/** The attributes of ONNX's Conv and pooling operators. */
export function windowAttributes({ axes }: Window): OnnxAttributes {
  return {
    kernel_shape: axes.map(({ filter }) => filter),
    strides: axes.map(({ stride }) => stride),
    dilations: axes.map(({ dilation }) => dilation),
    pads: [...axes.map(({ before }) => before), ...axes.map(afterOf)],
  };
}

/** The same for ConvTranspose, which gives back an image of the window's input size. */
export function transposedAttributes(window: Window): OnnxAttributes {
  const missing = window.axes.map(
    (a) => a.length - ((a.places - 1) * a.stride + spanOf(a) - a.before - afterOf(a)),
  );
  return { ...windowAttributes(window), output_padding: missing };
}
