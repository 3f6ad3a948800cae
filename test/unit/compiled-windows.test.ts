import * as tf from '@tensorflow/tfjs';
import fc from 'fast-check';
import { convolutionKernels } from '../../worker/compute/compiled/kernels/convolution.js';
import { poolingKernels } from '../../worker/compute/compiled/kernels/pooling.js';
import { resizeKernels } from '../../worker/compute/compiled/kernels/resize.js';
import { type Case, convolution, pooling, tiles } from './compiled-cases.js';
import { describeKernels } from './compiled-family.js';
import { values, withGradients } from './compiled-reference.js';

const convolutions: Record<string, fc.Arbitrary<Case>> = {
  conv2d: convolution(
    (x, filter, { strides, pad }) => tf.conv2d(x, filter, strides, pad),
    (channels, { size, filters }) => [...size, channels, filters],
  ),
  'conv2d, biased and activated in training': convolution(
    (x, filter, { strides, pad, filters }) => {
      const shift = tf.fill([filters], 0.2) as tf.Tensor1D;
      return tf.fused.conv2d({ x, filter, strides, pad, bias: shift, activation: 'relu' });
    },
    (channels, { size, filters }) => [...size, channels, filters],
  ),
  'conv2d with a linear activation': convolution(
    (x, filter, { strides, pad }) => tf.fused.conv2d({ x, filter, strides, pad }),
    (channels, { size, filters }) => [...size, channels, filters],
  ),
  conv2dTranspose: convolution(
    (x, filter, { strides: [stride], filters }) => {
      const [rows, height, width] = x.shape;
      return tf.conv2dTranspose(x, filter, [rows, height * stride, width * stride, filters], stride, 'same');
    },
    (channels, { size, filters }) => [...size, filters, channels],
  ),
  depthwiseConv2d: convolution(
    (x, filter, { strides: [stride], pad }) => tf.depthwiseConv2d(x, filter, stride, pad),
    (channels, { size, filters }) => [...size, channels, filters],
  ),
  maxPool: pooling(tf.maxPool),
  'maxPool of relu': pooling((x, size, strides, pad) => tf.maxPool(tf.relu(x), size, strides, pad)),
  'maxPool of tiles': tiles(tf.maxPool),
  'maxPool of tiles of relu': tiles((x, size) => tf.maxPool(tf.relu(x), size, size, 'valid')),
  avgPool: pooling(tf.avgPool),
};

const activations = ['relu', 'relu6', 'elu', 'sigmoid'] as const;

type Inferred = (x: tf.Tensor4D, filter: tf.Tensor4D, bias: tf.Tensor1D, n: number) => tf.Tensor;

/** An image, a filter and, per channel of the result, a bias: kernels that differentiation never runs. */
const inferred = (channels: number, compute: Inferred): fc.Arbitrary<Case> =>
  fc.nat(1e6).map((n) => ({
    inputs: [values([2, 5 + (n % 2), 6, 2], n), values([2, 3, 2, 3], n + 1), values([channels], n + 2)],
    compute: (x, filter, bias) => compute(x as tf.Tensor4D, filter as tf.Tensor4D, bias as tf.Tensor1D, n),
  }));

const inference: Record<string, fc.Arbitrary<Case>> = {
  'dilated conv2d': inferred(3, (x, filter, bias, n) =>
    tf.add(tf.conv2d(x, filter, 1, n % 2 === 0 ? 'same' : 'valid', 'NHWC', 2), bias),
  ),
  'activated conv2d': inferred(3, (x, filter, bias, n) =>
    tf.fused.conv2d({ x, filter, strides: 1, pad: 'same', bias, activation: activations[n % 4] }),
  ),
  'activated depthwise conv2d': inferred(6, (x, filter, bias) =>
    tf.fused.depthwiseConv2d({ x, filter, strides: 1, pad: 'same', bias, activation: 'relu' }),
  ),
};

type Solid = (x: tf.Tensor5D, filter: tf.Tensor5D, stride: number, pad: 'same' | 'valid') => tf.Tensor;

/** A volume and how a window moves over it, with the gradients by the volume and, if it has one, the filter. */
const solid = (filterShape: readonly number[] | null, compute: Solid): fc.Arbitrary<Case> =>
  fc.nat(1e6).map((n) => {
    const moved = (x: tf.Tensor, filter: tf.Tensor) =>
      compute(x as tf.Tensor5D, filter as tf.Tensor5D, 1 + (n % 2), n % 3 === 0 ? 'same' : 'valid');
    const x = values([2, 4, 3 + (n % 3), 5, 2], n);
    const given = filterShape === null ? [x] : [x, values(filterShape, n + 1)];
    const { shape } = tf.tidy(() => moved(tf.zeros([...x.shape]), tf.zeros([...(filterShape ?? [1])])));
    const differentiated = withGradients(moved as (...xs: tf.Tensor[]) => tf.Tensor, given.length);
    return { inputs: [...given, values(shape, n + 2)], compute: differentiated };
  });

const solids: Record<string, fc.Arbitrary<Case>> = {
  conv3d: solid([2, 2, 3, 2, 3], (x, filter, stride, pad) => tf.conv3d(x, filter, stride, pad)),
  'conv3d, biased and activated': solid([3, 2, 2, 2, 3], (x, filter, stride, pad) =>
    tf.relu(tf.add(tf.conv3d(x, filter, stride, pad), tf.fill([3], 0.2))),
  ),
  maxPool3d: solid(null, (x, _, stride, pad) => tf.maxPool3d(x, 2, stride, pad)),
  'maxPool3d of relu': solid(null, (x, _, stride, pad) => tf.maxPool3d(tf.relu(x), 2, stride, pad)),
  avgPool3d: solid(null, (x, _, stride, pad) => tf.avgPool3d(x, [2, 2, 3], stride, pad)),
};

type Resized = (x: tf.Tensor4D, size: [number, number], alignCorners: boolean, centres: boolean) => tf.Tensor;

/** An image in another size, and the gradient. */
const resized = (compute: Resized): fc.Arbitrary<Case> => {
  const size = fc.integer({ min: 1, max: 9 });
  return fc.tuple(fc.nat(1e6), fc.nat(2), size, size).map(([n, mode, height, width]) => {
    const moved = (x: tf.Tensor) =>
      compute(tf.mul(x, 2) as tf.Tensor4D, [height, width], mode === 1, mode === 2);
    const inputs = [values([2, 3, 5, 2], n), values([2, height, width, 2], n + 1)];
    return { inputs, compute: withGradients(moved, 1) };
  });
};

const resizing: Record<string, fc.Arbitrary<Case>> = {
  resizeBilinear: resized(tf.image.resizeBilinear),
  resizeNearestNeighbor: resized(tf.image.resizeNearestNeighbor),
};

describeKernels('convolutions, pooling and resizing', [convolutionKernels, poolingKernels, resizeKernels], {
  ...convolutions,
  ...inference,
  ...solids,
  ...resizing,
});
