import * as tf from '@tensorflow/tfjs';
import { beforeAll, describe, expect, it } from 'vitest';
import {
  expectAsOnCpu,
  loadBothBackends,
  normals,
  normalTensor,
  relativeError,
  valuesOn,
} from './wasm-reference.js';

beforeAll(loadBothBackends);

const transpositions = [
  [false, false],
  [true, false],
  [false, true],
  [true, true],
] as const;

/** The product in float64, by definition. */
function product(
  a: Float32Array,
  b: Float32Array,
  [m, k, n]: readonly [number, number, number],
  [transposeA, transposeB]: readonly [boolean, boolean],
): Float64Array {
  const out = new Float64Array(m * n);
  for (let i = 0; i < m; i++) {
    for (let j = 0; j < n; j++) {
      for (let p = 0; p < k; p++) {
        out[i * n + j] += a[transposeA ? p * m + i : i * k + p] * b[transposeB ? j * k + p : p * n + j];
      }
    }
  }
  return out;
}

const matrix = (values: Float32Array, rows: number, columns: number, transposed: boolean): tf.Tensor2D =>
  tf.tensor2d(values, transposed ? [columns, rows] : [rows, columns]);

describe.each(transpositions)('matMul, a transposed %s, b transposed %s', (...transposition) => {
  const sizes = [
    // Every width of tile and every remainder of one.
    ...Array.from({ length: 14 }, (_, i) => [1 + (i % 7), 1 + ((i * 5) % 11), 1 + i] as const),
    [4, 8, 8],
    [33, 300, 49],
    [7, 1030, 100],
    [128, 60, 97],
  ] as const;
  it.each(sizes)('is the product by definition for %i×%i by %i columns', async (m, k, n) => {
    const [a, b] = [normals(m * k, 1), normals(k * n, 2)];
    const bias = normals(n, 3);
    const expected = product(a, b, [m, k, n], transposition);
    const [transposeA, transposeB] = transposition;
    const [plain, fused] = await valuesOn('wasm', () => {
      const [aTensor, bTensor] = [matrix(a, m, k, transposeA), matrix(b, k, n, transposeB)];
      return [
        tf.matMul(aTensor, bTensor, transposeA, transposeB),
        tf.fused.matMul({ a: aTensor, b: bTensor, transposeA, transposeB, bias: tf.tensor1d(bias) }),
      ];
    });
    expect(relativeError(plain, expected)).toBeLessThan(3e-6);
    const withBias = expected.map((value, i) => value + bias[i % n]);
    expect(relativeError(fused, withBias)).toBeLessThan(3e-6);
  });

  it('multiplies batches, repeating the smaller one', async () => {
    const [transposeA, transposeB] = transposition;
    const shape = (batch: number[], rows: number, columns: number, transposed: boolean) => [
      ...batch,
      ...(transposed ? [columns, rows] : [rows, columns]),
    ];
    for (const [aBatch, bBatch] of [
      [[3], [3]],
      [
        [2, 3],
        [2, 3],
      ],
      [[3], [1]],
      [[1], [3]],
    ]) {
      await expectAsOnCpu(
        () =>
          tf.matMul(
            normalTensor(shape(aBatch, 5, 9, transposeA), 4),
            normalTensor(shape(bBatch, 9, 6, transposeB), 5),
            transposeA,
            transposeB,
          ),
        `${aBatch} by ${bBatch}`,
      );
    }
  });

  it.each(['linear', 'relu', 'relu6', 'elu', 'sigmoid', 'prelu', 'leakyrelu'] as const)(
    'applies a fused %s after the bias',
    async (activation) => {
      const [transposeA, transposeB] = transposition;
      await expectAsOnCpu(() =>
        tf.fused.matMul({
          a: normalTensor(transposeA ? [7, 5] : [5, 7], 6) as tf.Tensor2D,
          b: normalTensor(transposeB ? [50, 7] : [7, 50], 7) as tf.Tensor2D,
          transposeA,
          transposeB,
          bias: normalTensor([50], 8),
          activation,
          preluActivationWeights: normalTensor([50], 9),
          leakyreluAlpha: 0.3,
        }),
      );
    },
  );
});

it('multiplies batches that broadcast against each other as NumPy does', async () => {
  const [a, b] = [normals(2 * 4 * 3, 10), normals(3 * 3 * 5, 11)];
  const [values] = await valuesOn('wasm', () =>
    tf.matMul(tf.tensor(a, [2, 1, 4, 3]), tf.tensor(b, [1, 3, 3, 5])),
  );
  for (let i = 0; i < 2; i++) {
    for (let j = 0; j < 3; j++) {
      const expected = product(
        a.slice(12 * i, 12 * i + 12),
        b.slice(15 * j, 15 * j + 15),
        [4, 3, 5],
        [false, false],
      );
      const start = 20 * (3 * i + j);
      expect(relativeError(values.slice(start, start + 20), expected)).toBeLessThan(3e-6);
    }
  }
});

it('gives an empty or zero product for matrices without elements', async () => {
  const [empty, zero] = await valuesOn('wasm', () => [
    tf.matMul(tf.zeros([0, 3]), tf.ones([3, 4])),
    tf.matMul(tf.zeros([2, 0]), tf.zeros([0, 3])),
  ]);
  expect([...empty]).toEqual([]);
  expect([...zero]).toEqual([0, 0, 0, 0, 0, 0]);
});

it('refuses integers, whose bits would be taken for floats', async () => {
  await tf.setBackend('wasm');
  tf.tidy(() => {
    const counts = tf.ones([2, 2], 'int32');
    expect(() => tf.matMul(counts, counts)).toThrow(
      expect.objectContaining({ code: 'MODEL_UNSUPPORTED', hint: expect.stringContaining('float32') }),
    );
  });
});

it('gives the same bits every time', async () => {
  const run = () =>
    valuesOn('wasm', () => tf.matMul(normalTensor([37, 301], 12), normalTensor([301, 53], 13)));
  expect(await run()).toEqual(await run());
});
