import * as tf from '@tensorflow/tfjs';
import type fc from 'fast-check';
import { elementwiseKernels } from '../../worker/compute/compiled/kernels/elementwise.js';
import { binary, type Case, logical, shaped, unary } from './compiled-cases.js';
import { describeKernels } from './compiled-family.js';
import { booleans, values, withGradients } from './compiled-reference.js';

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
  'a product and a sum by channel': shaped((shape, n, inPlanes) => {
    const channels = [shape[shape.length - 1]];
    const [x, scale, shift, slope] = [shape, channels, channels, shape].map((s, i) => values(s, n + i));
    const compute = (a: tf.Tensor, s: tf.Tensor, b: tf.Tensor) => tf.add(tf.mul(inPlanes(a), s), b);
    return {
      inputs: [x, scale, shift, slope],
      compute: withGradients(compute as (...xs: tf.Tensor[]) => tf.Tensor, 3),
    };
  }),
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

describeKernels('elementwise kernels', [elementwiseKernels], elementwise);
