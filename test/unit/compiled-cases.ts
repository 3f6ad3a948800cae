import * as tf from '@tensorflow/tfjs';
import fc from 'fast-check';
import type { HostTensor } from '../../shared/tensors.js';
import { booleans, type Compute, integers, type Range, values, withGradients } from './compiled-reference.js';

/** A computation with its inputs; its value and gradients must be the same compiled and op by op. */
export interface Case {
  readonly inputs: readonly HostTensor[];
  readonly compute: Compute;
}

const dim = fc.integer({ min: 1, max: 4 });
const seed = fc.nat(1e6);
const shapes = fc.array(dim, { minLength: 1, maxLength: 4 });
const image = fc.tuple(
  fc.integer({ min: 1, max: 2 }),
  fc.integer({ min: 4, max: 8 }),
  fc.integer({ min: 4, max: 8 }),
  dim,
);

/** In the layout that convolutions leave behind, for a tensor that can be an image. */
const planes = (x: tf.Tensor, wanted: boolean): tf.Tensor =>
  wanted && x.rank === 4 && x.dtype === 'float32' ? tf.maxPool(x as tf.Tensor4D, 1, 1, 'valid') : x;

/** A function of one tensor. */
export function unary(
  compute: (x: tf.Tensor) => tf.Tensor,
  { range = 'normal' as Range, gradient = true } = {},
): fc.Arbitrary<Case> {
  return fc.tuple(shapes, seed, fc.boolean()).map(([shape, n, inPlanes]) => {
    const moved = (x: tf.Tensor) => compute(planes(x, inPlanes));
    const x = values(shape, n, range);
    if (!gradient) return { inputs: [x], compute: moved };
    return { inputs: [x, values(shape, n + 1)], compute: withGradients(moved, 1) };
  });
}

/** Shapes of two tensors that broadcast, and that of the result. */
const broadcasting = fc
  .tuple(shapes, fc.array(fc.boolean(), { minLength: 4, maxLength: 4 }), fc.nat(3))
  .map(([shape, ones, dropped]) => {
    const left = shape.map((d, i) => (ones[i] && i % 2 === 0 ? 1 : d));
    const right = shape
      .map((d, i) => (ones[i] && i % 2 === 1 ? 1 : d))
      .slice(Math.min(dropped, shape.length - 1));
    return { left, right, shape: tf.broadcast_util.assertAndGetBroadcastShape(left, right) };
  });

/** A function of two tensors that broadcast. */
export function binary(
  compute: (a: tf.Tensor, b: tf.Tensor) => tf.Tensor,
  { range = 'normal' as Range, gradient = true } = {},
): fc.Arbitrary<Case> {
  return fc.tuple(broadcasting, seed, fc.boolean()).map(([{ left, right, shape }, n, inPlanes]) => {
    const moved = (a: tf.Tensor, b: tf.Tensor) => compute(planes(a, inPlanes), b);
    const inputs = [values(left, n, range), values(right, n + 1, range)];
    if (!gradient) return { inputs, compute: moved as Compute };
    const differentiated = withGradients(moved as (...xs: tf.Tensor[]) => tf.Tensor, 2);
    return { inputs: [...inputs, values(shape, n + 2)], compute: differentiated };
  });
}

/** Some axes of a tensor reduced. */
export function reduction(
  compute: (x: tf.Tensor, axes: number[], keepDims: boolean) => tf.Tensor,
  { gradient = true } = {},
): fc.Arbitrary<Case> {
  const flags = fc.array(fc.boolean(), { minLength: 4, maxLength: 4 });
  return fc
    .tuple(shapes, seed, flags, fc.boolean(), fc.boolean())
    .map(([shape, n, chosen, keepDims, inPlanes]) => {
      const axes = shape.flatMap((_, axis) => (chosen[axis] ? [axis] : []));
      const moved = (x: tf.Tensor) => compute(planes(x, inPlanes), axes, keepDims);
      const kept = shape.map((d, axis) => (axes.includes(axis) ? 1 : d));
      const result = keepDims ? kept : shape.filter((_, axis) => !axes.includes(axis));
      const x = values(shape, n);
      if (!gradient || axes.length === 0) return { inputs: [x], compute: moved };
      return { inputs: [x, values(result, n + 1)], compute: withGradients(moved, 1) };
    });
}

interface Convolved {
  readonly filters: number;
  readonly size: [number, number];
  readonly strides: [number, number];
  readonly pad: 'same' | 'valid';
}

const small = fc.integer({ min: 1, max: 3 });
const convolved: fc.Arbitrary<Convolved> = fc.record({
  filters: dim,
  size: fc.tuple(small, small),
  strides: fc.tuple(small, small),
  pad: fc.constantFrom('same', 'valid'),
});

/** An image, a filter and how it moves. */
export function convolution(
  compute: (x: tf.Tensor4D, filter: tf.Tensor4D, options: Convolved) => tf.Tensor,
  filterShape: (channels: number, options: Convolved) => number[],
): fc.Arbitrary<Case> {
  return fc.tuple(image, convolved, seed).map(([shape, options, n]) => {
    const moved = (x: tf.Tensor, w: tf.Tensor) => compute(x as tf.Tensor4D, w as tf.Tensor4D, options);
    const x = values(shape, n);
    const filter = values(filterShape(shape[3], options), n + 1);
    const zeros = tf.tidy(() => moved(tf.zeros(shape), tf.zeros([...filter.shape])).shape);
    const inputs = [x, filter, values(zeros, n + 2)];
    return { inputs, compute: withGradients(moved as (...xs: tf.Tensor[]) => tf.Tensor, 2) };
  });
}

/** An image and a window that pools it; `ties` makes many pixels equal. */
export function pooling(
  compute: (
    x: tf.Tensor4D,
    size: [number, number],
    strides: [number, number],
    pad: 'same' | 'valid',
  ) => tf.Tensor,
): fc.Arbitrary<Case> {
  return fc.tuple(image, convolved, seed, fc.boolean()).map(([shape, { size, strides, pad }, n, ties]) => {
    const moved = (x: tf.Tensor) => compute(x as tf.Tensor4D, size, strides, pad);
    const given = values(shape, n);
    const x = ties
      ? { ...given, data: Float32Array.from(given.data, (v) => Math.max(0, Math.round(v))) }
      : given;
    const outShape = tf.tidy(() => moved(tf.zeros(shape)).shape);
    return { inputs: [x, values(outShape, n + 1)], compute: withGradients(moved, 1) };
  });
}

/** An image that a square window tiles exactly; many pixels are equal. */
export function tiles(
  compute: (x: tf.Tensor4D, size: number, strides: number, pad: 'valid') => tf.Tensor,
): fc.Arbitrary<Case> {
  return fc.tuple(small, dim, dim, dim, seed).map(([size, across, down, channels, n]) => {
    const shape = [2, down * size, across * size, channels];
    const given = values(shape, n);
    const x = { ...given, data: Float32Array.from(given.data, (v) => Math.round(2 * v) / 2) };
    const moved = (image: tf.Tensor) => compute(image as tf.Tensor4D, size, size, 'valid');
    return { inputs: [x, values([2, down, across, channels], n + 1)], compute: withGradients(moved, 1) };
  });
}

/** Two matrices, or batches of them, each transposed or not. */
export function product(
  compute: (a: tf.Tensor, b: tf.Tensor, transposeA: boolean, transposeB: boolean) => tf.Tensor,
  { gradient = true } = {},
): fc.Arbitrary<Case> {
  const batches = fc.constantFrom<[number[], number[]]>(
    [[], []],
    [[3], [3]],
    [
      [2, 3],
      [2, 3],
    ],
  );
  return fc
    .tuple(batches, fc.tuple(dim, dim, dim), fc.boolean(), fc.boolean(), seed)
    .map(([[left, right], [m, k, n], transposeA, transposeB, s]) => {
      const a = values([...left, ...(transposeA ? [k, m] : [m, k])], s);
      const b = values([...right, ...(transposeB ? [n, k] : [k, n])], s + 1);
      const moved = (x: tf.Tensor, y: tf.Tensor) => compute(x, y, transposeA, transposeB);
      const slope = values([...right, m, n], s + 2);
      if (!gradient) return { inputs: [a, b], compute: moved as Compute };
      return { inputs: [a, b, slope], compute: withGradients(moved as (...xs: tf.Tensor[]) => tf.Tensor, 2) };
    });
}

/** Something with a shape of its own: made from a shape and a seed. */
export function shaped(
  make: (shape: number[], seed: number, inPlanes: (x: tf.Tensor) => tf.Tensor) => Case,
): fc.Arbitrary<Case> {
  return fc
    .tuple(shapes, seed, fc.boolean())
    .map(([shape, n, inPlanes]) => make(shape, n, (x) => planes(x, inPlanes)));
}

/** A function of conditions, one or two. */
export function logical(compute: (a: tf.Tensor, b: tf.Tensor) => tf.Tensor): fc.Arbitrary<Case> {
  return fc.tuple(broadcasting, seed).map(([{ left, right }, n]) => ({
    inputs: [booleans(left, n), booleans(right, n + 1)],
    compute: compute as Compute,
  }));
}

/** Rows of a table by number: some wanted twice, some not at all. */
export function lookup(compute: (table: tf.Tensor, rows: tf.Tensor) => tf.Tensor): fc.Arbitrary<Case> {
  return fc
    .tuple(dim, dim, fc.array(dim, { minLength: 1, maxLength: 2 }), seed)
    .map(([rows, width, shape, n]) => ({
      inputs: [values([rows, width], n), integers(shape, n + 1, rows), values([...shape, width], n + 2)],
      compute: withGradients(compute as (...xs: tf.Tensor[]) => tf.Tensor, 1),
    }));
}
