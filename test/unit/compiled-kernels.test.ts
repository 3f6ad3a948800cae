import * as tf from '@tensorflow/tfjs';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { kernelTable } from '../../worker/compute/compiled/kernels/table.js';
import { registerReluGradient } from '../../worker/compute/gradients/relu.js';
import {
  binary,
  type Case,
  convolution,
  logical,
  lookup,
  pooling,
  product,
  reduction,
  shaped,
  unary,
} from './compiled-cases.js';
import {
  booleans,
  compiled,
  distance,
  eagerly,
  integers,
  values,
  withGradients,
} from './compiled-reference.js';

const seen = new Set<string>();
const forward = { gradient: false };

const elementwise: Record<string, fc.Arbitrary<Case>> = {
  abs: unary(tf.abs),
  acos: unary(tf.acos, { range: 'unit' }),
  acosh: unary(tf.acosh, { range: 'aboveOne' }),
  asin: unary(tf.asin, { range: 'unit' }),
  asinh: unary(tf.asinh),
  atan: unary(tf.atan),
  atanh: unary(tf.atanh, { range: 'unit' }),
  ceil: unary(tf.ceil),
  cos: unary(tf.cos),
  cosh: unary(tf.cosh),
  elu: unary(tf.elu),
  erf: unary(tf.erf),
  exp: unary(tf.exp),
  floor: unary(tf.floor),
  log: unary(tf.log, { range: 'positive' }),
  neg: unary(tf.neg),
  reciprocal: unary(tf.reciprocal, { range: 'positive' }),
  relu: unary(tf.relu),
  round: unary(tf.round),
  selu: unary(tf.selu),
  sigmoid: unary(tf.sigmoid),
  sign: unary(tf.sign),
  sin: unary(tf.sin),
  sinh: unary(tf.sinh),
  softplus: unary(tf.softplus),
  sqrt: unary(tf.sqrt, { range: 'positive' }),
  tan: unary(tf.tan, { range: 'unit' }),
  tanh: unary(tf.tanh),
  square: unary(tf.square),
  rsqrt: unary(tf.rsqrt, { range: 'positive' }),
  log1p: unary((x) => tf.log1p(tf.mul(x, 1e-4)), { range: 'unit' }),
  expm1: unary((x) => tf.expm1(tf.mul(x, 1e-4)), { range: 'unit' }),
  relu6: unary((x) => tf.relu6(tf.mul(x, 5))),
  step: unary((x) => tf.step(x, 0.3)),
  'step of int32': unary((x) => tf.step(tf.cast(x, 'int32')), forward),
  leakyRelu: unary((x) => tf.leakyRelu(x, 0.3)),
  clipByValue: unary((x) => tf.clipByValue(x, -0.5, 0.7)),
  isNaN: unary((x) => tf.isNaN(tf.log(x)), forward),
  casts: unary((x) => tf.cast(tf.cast(tf.mul(x, 3), 'int32'), 'float32'), forward),
  add: binary(tf.add),
  sub: binary(tf.sub),
  mul: binary(tf.mul),
  'mul by ones': binary((a, b) => tf.mul(tf.mul(a, tf.onesLike(b)), b)),
  div: binary(tf.div, { range: 'positive' }),
  floorDiv: binary((a, b) => tf.floorDiv(tf.cast(tf.mul(a, 9), 'int32'), tf.cast(tf.mul(b, 9), 'int32')), {
    range: 'positive',
    gradient: false,
  }),
  mod: binary(tf.mod, { range: 'positive', gradient: false }),
  // TensorFlow.js's gradients of these three do not reduce what was broadcast.
  maximum: binary(tf.maximum, forward),
  minimum: binary(tf.minimum, forward),
  'maximum and minimum': unary((x) => tf.maximum(tf.minimum(x, tf.square(x)), tf.neg(x))),
  pow: binary(tf.pow, { range: 'positive' }),
  prelu: binary((a, b) => tf.prelu(a, tf.broadcastTo(b, tf.add(a, b).shape)), forward),
  squaredDifference: binary(tf.squaredDifference, forward),
  'squaredDifference from a tensor': unary((x) => tf.squaredDifference(x, tf.exp(x))),
  greater: binary(tf.greater, forward),
  greaterEqual: binary(tf.greaterEqual, forward),
  less: binary(tf.less, forward),
  lessEqual: binary(tf.lessEqual, forward),
  equal: binary((a, b) => tf.equal(tf.round(a), tf.round(b)), forward),
  notEqual: binary((a, b) => tf.notEqual(tf.round(a), tf.round(b)), forward),
  where: binary((a, b) => tf.where(tf.greater(a, b), tf.add(a, b), tf.mul(a, tf.add(b, 1))), forward),
  'where by given conditions': shaped((shape, n, inPlanes) => ({
    inputs: [values(shape, n), booleans(shape, n + 1), values(shape, n + 2)],
    compute: withGradients((x, condition) => tf.where(condition, tf.exp(inPlanes(x)), tf.square(x)), 1),
  })),
  addN: unary((x) => tf.addN([x, tf.square(x), tf.neg(x)])),
  logicalAnd: logical(tf.logicalAnd),
  logicalOr: logical(tf.logicalOr),
  logicalNot: logical((a) => tf.logicalNot(a)),
  batchNorm: shaped((shape, n, inPlanes) => {
    const channels = [shape[shape.length - 1]];
    const [x, mean, scale, offset] = [shape, channels, channels, channels].map((s, i) => values(s, n + i));
    const compute = (a: tf.Tensor, m: tf.Tensor, s: tf.Tensor, o: tf.Tensor, v: tf.Tensor) =>
      tf.engine().runKernel(
        'FusedBatchNorm',
        { x: inPlanes(a), mean: m, variance: v, scale: s, offset: o },
        {
          varianceEpsilon: 1e-3,
        },
      ) as tf.Tensor;
    return {
      inputs: [x, mean, scale, offset, values(channels, n + 9, 'positive')],
      compute: compute as Case['compute'],
    };
  }),
};

const reductions: Record<string, fc.Arbitrary<Case>> = {
  sum: reduction(tf.sum),
  mean: reduction(tf.mean),
  prod: reduction(tf.prod, forward),
  max: reduction(tf.max),
  min: reduction(tf.min),
  all: reduction((x, axes, keep) => tf.all(tf.greater(x, -1), axes, keep), forward),
  any: reduction((x, axes, keep) => tf.any(tf.greater(x, 1), axes, keep), forward),
  argMax: shaped((shape, n, inPlanes) => ({
    inputs: [values(shape, n)],
    compute: (x) => tf.argMax(inPlanes(x), n % shape.length),
  })),
  argMin: shaped((shape, n) => ({
    inputs: [values(shape, n)],
    compute: (x) => tf.argMin(x, n % shape.length),
  })),
  softmax: unary((x) => tf.softmax(x)),
  logSoftmax: unary((x) => tf.logSoftmax(x)),
};

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

const shapesOfTensors: Record<string, fc.Arbitrary<Case>> = {
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

const products: Record<string, fc.Arbitrary<Case>> = {
  matMul: product(tf.matMul),
  'matMul with one matrix for all': product((a, b, transposeA, transposeB) => {
    const first = a.rank === 3 ? tf.slice(a, 0, 1) : a;
    return tf.matMul(first, b, transposeA, transposeB);
  }, forward),
  'fused matMul, in training': product((a, b, transposeA, transposeB) =>
    tf.fused.matMul({ a, b, transposeA, transposeB }),
  ),
  'fused matMul with an activation': product((a, b, transposeA, transposeB) => {
    const columns = b.shape[b.rank - (transposeB ? 2 : 1)];
    const shift = tf.fill([columns], 0.3) as tf.Tensor1D;
    return tf.fused.matMul({ a, b, transposeA, transposeB, bias: shift, activation: 'relu' });
  }, forward),
};

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
  avgPool: pooling((x, size, strides) => tf.avgPool(x, size, strides, 'valid')),
};

/** Kernels that differentiation never runs: their value alone. */
const inference: Record<string, fc.Arbitrary<Case>> = {
  'padded avgPool': fc.nat(1e6).map((n) => ({
    inputs: [values([2, 5 + (n % 2), 6, 3], n)],
    compute: (x) => tf.avgPool(x as tf.Tensor4D, 3, 1 + (n % 3), 'same'),
  })),
  'dilated conv2d': fc.nat(1e6).map((n) => ({
    inputs: [values([2, 7, 8, 2], n), values([2, 3, 2, 3], n + 1)],
    compute: (x, w) =>
      tf.conv2d(x as tf.Tensor4D, w as tf.Tensor4D, 1, n % 2 === 0 ? 'same' : 'valid', 'NHWC', 2),
  })),
  'activated conv2d': fc.nat(1e6).map((n) => ({
    inputs: [values([2, 5, 6, 2], n), values([2, 3, 2, 3], n + 1), values([3], n + 2)],
    compute: (x, filter, shift) =>
      tf.fused.conv2d({
        x: x as tf.Tensor4D,
        filter: filter as tf.Tensor4D,
        strides: 1,
        pad: 'same',
        bias: shift as tf.Tensor1D,
        activation: (['relu', 'relu6', 'elu', 'sigmoid'] as const)[n % 4],
      }),
  })),
  'activated depthwise conv2d': fc.nat(1e6).map((n) => ({
    inputs: [values([2, 5, 6, 2], n), values([2, 3, 2, 3], n + 1), values([6], n + 2)],
    compute: (x, filter, shift) =>
      tf.fused.depthwiseConv2d({
        x: x as tf.Tensor4D,
        filter: filter as tf.Tensor4D,
        strides: 1,
        pad: 'same',
        bias: shift,
        activation: 'relu',
      }),
  })),
};

const lookups: Record<string, fc.Arbitrary<Case>> = {
  gather: lookup((table, rows) => tf.gather(table, rows as tf.Tensor1D)),
  oneHot: fc.nat(1e6).map((n) => ({
    inputs: [integers([2, 3], n, 6)],
    compute: (rows) => tf.oneHot(tf.sub(rows, tf.scalar(1, 'int32')), 4, 2, -1),
  })),
  unsortedSegmentSum: fc.nat(1e6).map((n) => ({
    inputs: [values([6, 2], n), integers([6], n + 1, 3)],
    compute: (x, ids) => tf.unsortedSegmentSum(x, ids as tf.Tensor1D, 4),
  })),
};

beforeAll(async () => {
  await tf.setBackend('cpu');
  registerReluGradient();
});

const families = {
  elementwise,
  reductions,
  shapesOfTensors,
  products,
  convolutions,
  inference,
  lookups,
};

for (const [family, cases] of Object.entries(families)) {
  describe(`compiled ${family}`, () => {
    for (const [name, arbitrary] of Object.entries(cases)) {
      it(`compute ${name} as the cpu backend does`, async () => {
        await fc.assert(
          fc.asyncProperty(arbitrary, async ({ inputs, compute }) => {
            const expected = eagerly(compute, inputs);
            const actual = await compiled(compute, inputs, seen);
            actual.forEach(({ shape, dtype, data }, i) => {
              expect([shape, dtype]).toEqual([expected[i].shape, expected[i].dtype]);
              expect(distance(data, expected[i].data)).toBeLessThan(1e-5);
            });
          }),
          { numRuns: 15, seed: 1 },
        );
      });
    }
  });
}

afterAll(() => {
  const missing = Object.keys(kernelTable).filter((kernel) => !seen.has(kernel));
  expect(missing, 'kernels whose mapping nothing compares').toEqual([]);
});
