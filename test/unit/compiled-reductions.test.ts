import * as tf from '@tensorflow/tfjs';
import fc from 'fast-check';
import { indexingKernels } from '../../worker/compute/compiled/kernels/indexing.js';
import { matrixKernels } from '../../worker/compute/compiled/kernels/matrix.js';
import { reductionKernels } from '../../worker/compute/compiled/kernels/reduction.js';
import { type Case, lookup, product, reduction, shaped, unary } from './compiled-cases.js';
import { describeKernels } from './compiled-family.js';
import { integers, values } from './compiled-reference.js';

const size = fc.integer({ min: 1, max: 4 });
const forward = { gradient: false };

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

const einsums: Record<string, fc.Arbitrary<Case>> = Object.fromEntries(
  ['ij,jk->ik', 'bij,bkj->bik', 'ij,ij->j', 'ij->ji'].map((equation) => [
    `einsum ${equation}`,
    fc.tuple(fc.nat(1e6), fc.record({ b: size, i: size, j: size, k: size })).map(([n, sizes]) => ({
      inputs: equation
        .split('->')[0]
        .split(',')
        .map((letters, i) =>
          values(
            Array.from(letters, (letter) => sizes[letter as 'i']),
            n + i,
          ),
        ),
      compute: (...tensors: tf.Tensor[]) => tf.einsum(equation, ...tensors),
    })),
  ]),
);

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

describeKernels('reductions, products and look-ups', [reductionKernels, matrixKernels, indexingKernels], {
  ...reductions,
  ...products,
  ...einsums,
  ...lookups,
});
