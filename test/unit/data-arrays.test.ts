import * as tf from '@tensorflow/tfjs';
import { describe, expect, it } from 'vitest';
import { fromArrays } from '../../coordinator/data/array-dataset.js';
import type { Batch, Dataset } from '../../coordinator/data/dataset.js';
import { splitDataset, subset } from '../../coordinator/data/subset.js';

const rows = (dataset: Dataset, ...indices: number[]): Batch =>
  dataset.batch(Int32Array.from(indices)) as Batch;
const column = (values: readonly number[]) => ({
  data: Float32Array.from(values),
  shape: [values.length, 1],
});

describe('fromArrays', () => {
  it('gives the rows named, in that order, in the dtype they came in', () => {
    const dataset = fromArrays({
      x: { data: Uint8Array.of(1, 2, 3, 4, 5, 6), shape: [3, 2] },
      y: tf.tensor2d([[7], [8], [9]], [3, 1], 'int32'),
    });
    expect(dataset.length).toBe(3);
    expect(rows(dataset, 2, 0)).toEqual({
      x: [{ dtype: 'uint8', shape: [2, 2], data: Uint8Array.of(5, 6, 1, 2) }],
      y: [{ dtype: 'int32', shape: [2, 1], data: Int32Array.of(9, 7) }],
    });
  });

  it('keeps bool tensors, and makes float32 of Float64Array and number[]', () => {
    const dataset = fromArrays({
      x: [tf.tensor1d([true, false], 'bool'), Float64Array.of(0.1, 2)],
      y: [3, 4],
    });
    const { x, y } = rows(dataset, 0);
    expect(x.map(({ dtype }) => dtype)).toEqual(['bool', 'float32']);
    expect(x[1].data).toEqual(Float32Array.of(0.1));
    expect(y[0]).toEqual({ dtype: 'float32', shape: [1, 1], data: Float32Array.of(3) });
  });

  it('makes a column of a list of values, as model.fit does', () => {
    const { x } = rows(fromArrays({ x: [1, 2, 3], y: [1, 2, 3] }), 0, 1);
    expect(x[0].shape).toEqual([2, 1]);
  });

  it('orders inputs given by name as the model does', () => {
    const dataset = fromArrays(
      { x: { deep: [1, 2], wide: [3, 4] }, y: { price: [5, 6] } },
      { inputNames: ['wide', 'deep'], outputNames: ['price'] },
    );
    expect(rows(dataset, 1).x.map(({ data }) => data[0])).toEqual([4, 2]);
  });

  it('refuses names that it cannot order, and names that the model lacks or misses', () => {
    const x = { wide: [1], deep: [2] };
    expect(() => fromArrays({ x, y: [1] })).toThrow(expect.objectContaining({ code: 'BAD_OPTION' }));
    const named = (inputNames: string[]) => () => fromArrays({ x, y: [1] }, { inputNames, outputNames: [] });
    expect(named(['wide'])).toThrow('x names "deep", which the model does not have');
    expect(named(['wide', 'deep', 'third'])).toThrow('x lacks "third"');
  });

  it('says how to give rows as lists of lists, where the model has one input', () => {
    const x = [
      [1, 2],
      [3, 4],
      [5, 6],
    ];
    const given = () => fromArrays({ x, y: [1, 2, 3] }, { inputNames: ['only'], outputNames: ['out'] });
    expect(given).toThrow(
      expect.objectContaining({
        code: 'SHAPE_MISMATCH',
        message: 'x is a list of 3 lists, the model has 1: only',
        hint: expect.stringContaining('tf.tensor(x)'),
      }),
    );
  });

  it('refuses row counts that differ and shapes that do not hold the values', () => {
    const of = (length: number) => new Float32Array(length);
    expect(() => fromArrays({ x: of(100), y: of(90) })).toThrow(
      expect.objectContaining({ code: 'SHAPE_MISMATCH', message: 'x has 100 rows, y has 90' }),
    );
    expect(() => fromArrays({ x: of(2), y: of(2), sampleWeight: of(3) })).toThrow(
      'x has 2 rows, sampleWeight has 3',
    );
    expect(() => fromArrays({ x: { data: of(10), shape: [3, 4] }, y: of(3) })).toThrow('10 elements');
  });

  it('gives sample weights as float32[rows], shared by all outputs or one per output', () => {
    const data = { x: [1, 2], y: [column([1, 2]), column([3, 4])] };
    const shared = rows(fromArrays({ ...data, sampleWeight: [0.5, 2] }), 1).sampleWeights;
    expect(shared).toEqual(Array(2).fill({ dtype: 'float32', shape: [1], data: Float32Array.of(2) }));
    const own = rows(
      fromArrays({ ...data, sampleWeight: [Float32Array.of(1, 2), Float32Array.of(3, 4)] }),
      0,
    );
    expect(own.sampleWeights?.map((weights) => weights?.data[0])).toEqual([1, 3]);
  });
});

describe('splitDataset', () => {
  const ten = fromArrays({ x: [0, 1, 2, 3, 4, 5, 6, 7, 8, 9], y: new Float32Array(10) });

  it('sets the last rows apart, in order, as Keras does', () => {
    const [train, validation] = splitDataset(ten, 0.25);
    // Keras: floor(10 * (1 - 0.25)) = 7 rows train.
    expect([train.length, validation.length]).toEqual([7, 3]);
    expect([...rows(validation, 0, 1, 2).x[0].data]).toEqual([7, 8, 9]);
    expect([...rows(train, 6).x[0].data]).toEqual([6]);
  });

  it('refuses a fraction that leaves one side empty', () => {
    for (const fraction of [0, 1, -0.5, 0.999, Number.NaN])
      expect(() => splitDataset(ten, fraction), String(fraction)).toThrow(
        expect.objectContaining({ code: 'BAD_OPTION' }),
      );
  });

  it('nests: a subset of a subset counts from its own first row', () => {
    expect([...rows(subset(subset(ten, 2, 8), 3, 5), 0, 1).x[0].data]).toEqual([5, 6]);
    expect(() => subset(ten, 5, 11)).toThrow(expect.objectContaining({ code: 'BAD_OPTION' }));
  });
});
