import * as tf from '@tensorflow/tfjs';
import { LockstepError } from '../../../shared/errors.js';

export type Conv2DInfo = tf.backend_util.Conv2DInfo;

export interface Conv2DAttributes {
  strides: [number, number] | number;
  pad: 'valid' | 'same' | number | tf.backend_util.ExplicitPadding;
  dataFormat?: 'NHWC' | 'NCHW';
  dilations?: [number, number] | number | null;
  dimRoundingMode?: 'floor' | 'round' | 'ceil';
}

/**
 * Sizes, padding and strides of a 2D convolution.
 * @throws LockstepError MODEL_UNSUPPORTED for channels-first data, which the wasm backend cannot convolve
 */
export function conv2DInfo(
  inputShape: readonly number[],
  filterShape: readonly number[],
  { strides, pad, dataFormat, dilations, dimRoundingMode }: Conv2DAttributes,
  depthwise = false,
): Conv2DInfo {
  if (dataFormat === 'NCHW') {
    throw new LockstepError(
      'MODEL_UNSUPPORTED',
      "the wasm backend cannot convolve dataFormat 'channelsFirst'",
      {
        hint: "Give the convolution dataFormat: 'channelsLast', or use another backend.",
      },
    );
  }
  return tf.backend_util.computeConv2DInfo(
    [...inputShape] as [number, number, number, number],
    [...filterShape] as [number, number, number, number],
    strides,
    dilations ?? 1,
    pad,
    dimRoundingMode,
    depthwise,
    'channelsLast',
  );
}

/** A half-open range of output positions, and the input position that the first of them reads. */
export interface Reach {
  readonly from: number;
  readonly to: number;
  readonly input: number;
}

/** The output positions whose filter tap `tap` falls inside the input, along one axis. */
function reach(tapOffset: number, stride: number, padBefore: number, inSize: number, outSize: number): Reach {
  const shift = tapOffset - padBefore;
  const from = Math.max(0, Math.ceil(-shift / stride));
  const to = Math.min(outSize, Math.floor((inSize - 1 - shift) / stride) + 1);
  return { from, to: Math.max(from, to), input: from * stride + shift };
}

/** One filter tap (row, column) with the outputs it contributes to. */
export interface Tap {
  /** Index of the tap in the filter, row by row. */
  readonly index: number;
  readonly rows: Reach;
  readonly columns: Reach;
  /** Taps of one filter row that `span` neighbouring input pixels cover at once: contiguous in memory. */
  readonly span: number;
}

/**
 * The taps of a filter. Where nothing is clipped or dilated sideways, the taps of one filter row are given as one
 * wide tap (unless `each` is asked for): their input pixels, and their rows of the filter, are neighbours in memory.
 */
export function tapsOf(info: Conv2DInfo, neighbours: 'merged' | 'each' = 'merged'): Tap[] {
  const rowsOf = (row: number): Reach =>
    reach(row * info.dilationHeight, info.strideHeight, info.padInfo.top, info.inHeight, info.outHeight);
  const columnsOf = (column: number): Reach =>
    reach(column * info.dilationWidth, info.strideWidth, info.padInfo.left, info.inWidth, info.outWidth);
  const unclipped = columnsOf(0).from === 0 && columnsOf(info.filterWidth - 1).to === info.outWidth;
  const span = neighbours === 'merged' && unclipped && info.dilationWidth === 1 ? info.filterWidth : 1;
  const taps: Tap[] = [];
  for (let row = 0; row < info.filterHeight; row++) {
    for (let column = 0; column < info.filterWidth; column += span) {
      const tap: Tap = {
        index: row * info.filterWidth + column,
        rows: rowsOf(row),
        columns: columnsOf(column),
        span,
      };
      if (tap.rows.to > tap.rows.from && tap.columns.to > tap.columns.from) taps.push(tap);
    }
  }
  return taps;
}
