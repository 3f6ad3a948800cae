import * as tf from '@tensorflow/tfjs';
import type fc from 'fast-check';
import { shapeKernels } from '../../worker/compute/compiled/kernels/shape.js';
import { type Case, shaped, unary } from './compiled-cases.js';
import { describeKernels } from './compiled-family.js';
import { values, withGradients } from './compiled-reference.js';

/** A function of one tensor whose result has another shape. */
const reshaping = (compute: (x: tf.Tensor, seed: number) => tf.Tensor): fc.Arbitrary<Case> =>
  shaped((shape, n, inPlanes) => {
    const moved = (x: tf.Tensor) => compute(inPlanes(x), n);
    const result = tf.tidy(() => moved(tf.zeros(shape)).shape);
    return { inputs: [values(shape, n), values(result, n + 1)], compute: withGradients(moved, 1) };
  });

/** A permutation of the axes. */
const permutation = (rank: number, n: number): number[] =>
  Array.from({ length: rank }, (_, i) => i).sort((a, b) => ((a * 7 + n) % 5) - ((b * 7 + n) % 5) || a - b);

const shapes: Record<string, fc.Arbitrary<Case>> = {
  reshape: reshaping((x) => tf.reshape(x, [-1, x.shape[x.rank - 1]])),
  'reshape of a broadcast': reshaping((x) => tf.reshape(tf.mul(tf.sum(x, -1, true), tf.onesLike(x)), [-1])),
  'reshape of pixels': reshaping((x) => {
    if (x.rank === 1) return tf.square(x);
    const channels = x.shape[x.rank - 1];
    return tf.square(tf.reshape(x, [x.shape[0], x.size / x.shape[0] / channels, 1, channels]));
  }),
  expandDims: reshaping((x, n) => tf.expandDims(x, n % (x.rank + 1))),
  transpose: reshaping((x, n) => tf.transpose(x, permutation(x.rank, n))),
  tile: reshaping((x, n) =>
    tf.tile(
      x,
      x.shape.map((_, i) => 1 + ((n + i) % 2)),
    ),
  ),
  broadcastTo: reshaping((x) => tf.broadcastTo(tf.sum(x, -1, true), x.shape)),
  fill: unary((x) => tf.add(x, tf.fill(x.shape, 3))),
  likes: unary((x) => tf.mul(tf.add(tf.onesLike(x), tf.zerosLike(x)), x)),
  concat: reshaping((x, n) => tf.concat([x, tf.square(x)], n % x.rank)),
  slice: reshaping((x, n) =>
    tf.slice(
      x,
      x.shape.map((d, i) => (n + i) % d),
    ),
  ),
  pad: reshaping((x, n) =>
    tf.pad(
      x,
      x.shape.map((_, i) => [(n + i) % 3, i % 2] as [number, number]),
      0.5,
    ),
  ),
  reverse: reshaping((x, n) => tf.reverse(x, n % x.rank)),
  stack: reshaping((x, n) => tf.stack([x, tf.neg(x)], n % (x.rank + 1))),
  unstack: reshaping((x, n) => {
    const axis = n % x.rank;
    const parts = tf.unstack(tf.concat([x, x], axis), axis);
    return tf.addN(parts.map((part, i) => tf.mul(part, i + 1)));
  }),
  split: reshaping((x) => tf.add(tf.split(tf.concat([x, x], 0), 2)[0], 1)),
};

describeKernels('kernels that move elements', [shapeKernels], shapes);
