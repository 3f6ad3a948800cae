import type { Lowering } from '../lowering.js';
import { afterOf, type Window } from './window.js';

/*
 * A window's positions: its own pixels, in the order of a filter's. At each of them all places of the window together
 * see a part of the image, as large as there are places.
 */

/** Every combination of one number per list, the last list's running fastest. */
const combinations = (lists: readonly (readonly number[])[]): number[][] =>
  lists.reduce<number[][]>((all, list) => all.flatMap((some) => list.map((one) => [...some, one])), [[]]);

/** How far each position is from the first, per axis. */
const offsetsOf = ({ axes }: Window): number[][] =>
  combinations(axes.map(({ filter, dilation }) => Array.from({ length: filter }, (_, i) => i * dilation)));

/**
 * What the places of a window see at each of its positions.
 * @param image in planes
 * @param outside what is seen beyond the image
 * @returns per position: [rows, channels, …places]
 */
export function slicesOf(image: string, window: Window, outside: number, { onnx }: Lowering): string[] {
  const { axes } = window;
  const ends = axes.map(afterOf);
  let padded = image;
  if (axes.some(({ before }, i) => before > 0 || ends[i] > 0)) {
    const pads = onnx.integers([0, 0, ...axes.map(({ before }) => before), 0, 0, ...ends]);
    padded = onnx.op('Pad', [image, pads, onnx.scalar(outside)]);
  }
  const strides = axes.map(({ stride }) => stride);
  return offsetsOf(window).map((begin) => {
    const end = begin.map((from, i) => from + (axes[i].places - 1) * strides[i] + 1);
    const bounds = [begin, end, axes.map((_, i) => i + 2), strides];
    return onnx.op('Slice', [padded, ...bounds.map((b) => onnx.integers(b))]);
  });
}

/**
 * The other way: an image in planes whose pixels are what the window's places give to them, added up in the order of
 * the positions. For providers whose ConvTranspose cannot do it.
 * @param given per position: [rows, channels, …places]
 */
export function addedUp(
  given: readonly string[],
  channels: number,
  window: Window,
  lowering: Lowering,
): string {
  const { onnx } = lowering;
  const { axes, batchSize } = window;
  const offsets = offsetsOf(window);
  const reach = axes.map(({ places, stride }) => places * stride);
  const furthest = offsets[offsets.length - 1];
  const lengths = axes.map((a, i) => Math.max(a.before + a.length, furthest[i] + reach[i]));
  const parts = given.map((part, k) => {
    const pads = onnx.integers([
      0,
      0,
      ...offsets[k],
      0,
      0,
      ...lengths.map((l, i) => l - offsets[k][i] - reach[i]),
    ]);
    return onnx.op('Pad', [stretched(part, channels, window, lowering), pads, onnx.scalar(0)]);
  });
  const whole = parts.reduce((sum, part) => onnx.op('Add', [sum, part]));
  if (axes.every(({ before, length }, i) => before === 0 && length === lengths[i])) return whole;
  const begin = onnx.integers(axes.map(({ before }) => before));
  const end = onnx.integers(axes.map(({ before, length }) => before + length));
  return lowering.reshape(onnx.op('Slice', [whole, begin, end, onnx.integers(axes.map((_, i) => i + 2))]), [
    batchSize,
    channels,
    ...axes.map(({ length }) => length),
  ]);
}

/** Each place as many pixels from the next as the window's places are: zeros between. */
function stretched(part: string, channels: number, { axes, batchSize }: Window, lowering: Lowering): string {
  if (axes.every(({ stride }) => stride === 1)) return part;
  const apart = [batchSize, channels, ...axes.flatMap(({ places }) => [places, 1])];
  const zeros = [0, 0, ...axes.flatMap(({ stride }) => [0, stride - 1])];
  const pads = lowering.onnx.integers([...zeros.map(() => 0), ...zeros]);
  const filled = lowering.onnx.op('Pad', [lowering.reshape(part, apart), pads, lowering.onnx.scalar(0)]);
  return lowering.reshape(filled, [
    batchSize,
    channels,
    ...axes.map(({ places, stride }) => places * stride),
  ]);
}
