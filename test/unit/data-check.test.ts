import { describe, expect, it } from 'vitest';
import { fromArrays } from '../../coordinator/data/array-dataset.js';
import { type BatchSignature, checkBatch, checkDataset } from '../../coordinator/data/check.js';
import { applyClassWeights } from '../../coordinator/data/class-weights.js';
import type { Batch, Dataset } from '../../coordinator/data/dataset.js';
import { type HostTensor, sizeOf } from '../../shared/tensors.js';

const tensor = (
  shape: readonly number[],
  values: ArrayLike<number> = new Float32Array(sizeOf(shape)),
): HostTensor => ({
  dtype: 'float32',
  shape,
  data: Float32Array.from(values),
});
const images: BatchSignature['inputs'] = [{ name: 'images', shape: [null, 28, 28, 1] }];
const output = (
  shape: readonly (number | null)[],
  sparseClasses: number | null,
): BatchSignature['outputs'] => [{ name: 'digit', shape, sparseClasses }];
const number: BatchSignature['inputs'] = [{ name: 'number', shape: [null, 1] }];

describe('checkBatch', () => {
  const sparse = { inputs: number, outputs: output([null, 10], 10) };
  const check =
    (batch: Batch, signature: BatchSignature = sparse) =>
    () =>
      checkBatch(batch, signature);

  it('names the input whose shape is wrong', () => {
    const batch = { x: [tensor([2, 28, 28])], y: [tensor([2])] };
    expect(check(batch, { ...sparse, inputs: images })).toThrow(
      expect.objectContaining({
        code: 'SHAPE_MISMATCH',
        message: 'input images: expected [*, 28, 28, 1], got [*, 28, 28]',
      }),
    );
  });

  it('says which loss takes class numbers, and which one-hot rows', () => {
    const x = [tensor([2, 1])];
    const oneHot = { inputs: number, outputs: output([null, 10], null) };
    expect(check({ x, y: [tensor([2, 1])] }, oneHot)).toThrow(
      expect.objectContaining({
        hint: expect.stringContaining('class numbers take the loss sparseCategoricalCrossentropy'),
      }),
    );
    expect(check({ x, y: [tensor([2, 10])] })).toThrow(
      expect.objectContaining({
        hint: expect.stringContaining('one-hot rows take the loss categoricalCrossentropy'),
      }),
    );
    for (const signature of [sparse, oneHot]) {
      expect(check({ x, y: [tensor([2, 7])] }, signature)).toThrow(
        expect.objectContaining({ hint: 'Reshape the data, or change the model.' }),
      );
    }
  });

  it('takes any length where the model leaves it open', () => {
    const signature = {
      inputs: [{ name: 'text', shape: [null, null] }],
      outputs: output([null, null, 5], 5),
    };
    expect(check({ x: [tensor([2, 7])], y: [tensor([2, 7])] }, signature)).not.toThrow();
  });

  it('takes class numbers with and without an axis of 1, also of sequences', () => {
    for (const shape of [[3], [3, 1]])
      expect(check({ x: [tensor([3, 1])], y: [tensor(shape)] })).not.toThrow();
    const sequences = { inputs: number, outputs: output([null, 4, 6], 6) };
    for (const shape of [
      [3, 4],
      [3, 4, 1],
    ])
      expect(check({ x: [tensor([3, 1])], y: [tensor(shape)] }, sequences)).not.toThrow();
    expect(check({ x: [tensor([3, 1])], y: [tensor([3, 5])] }, sequences)).toThrow(
      'expected [*, 4], got [*, 5]',
    );
    expect(check({ x: [tensor([3, 1])], y: [tensor([3, 10])] })).toThrow(
      expect.objectContaining({ code: 'SHAPE_MISMATCH' }),
    );
  });

  it('takes labels without the axis of an output one wide, and no others', () => {
    const narrow = { inputs: number, outputs: output([null, 1], null) };
    for (const shape of [[3], [3, 1]])
      expect(check({ x: [tensor([3, 1])], y: [tensor(shape)] }, narrow)).not.toThrow();
    const wide = { inputs: number, outputs: output([null, 2], null) };
    expect(check({ x: [tensor([3, 1])], y: [tensor([3])] }, wide)).toThrow('expected [*, 2], got [*]');
  });

  it('names row, label and classes of a label out of range', () => {
    for (const label of [-1, 10, 2.5, Number.NaN]) {
      const batch = { x: [tensor([3, 1])], y: [tensor([3], [0, 9, label])] };
      expect(() => checkBatch(batch, sparse, 100)).toThrow(
        expect.objectContaining({
          code: 'LABEL_OUT_OF_RANGE',
          message: `row 102 of digit has the label ${label}, expected 0 to 9`,
        }),
      );
    }
  });

  it('names tensor and row of a value that is not finite', () => {
    const finite = { x: [tensor([2, 1])], y: [tensor([2, 3])] };
    const signature = { inputs: number, outputs: output([null, 3], null) };
    const notFinite = (batch: Batch, message: string) =>
      expect(check(batch, signature)).toThrow(expect.objectContaining({ code: 'DATA_NOT_FINITE', message }));
    notFinite({ ...finite, x: [tensor([2, 1], [0, Number.NaN])] }, 'row 1 of input number holds NaN');
    notFinite(
      { ...finite, y: [tensor([2, 3], [0, 0, Infinity, 0, 0, 0])] },
      'row 0 of output digit holds Infinity',
    );
    notFinite(
      { ...finite, sampleWeights: [tensor([2], [1, -Infinity])] },
      'row 1 of sample weights of digit holds -Infinity',
    );
    // The largest and the smallest numbers there are.
    expect(check({ ...finite, x: [tensor([2, 1], [3.4028234e38, -1e-45])] }, signature)).not.toThrow();
  });

  it('refuses tensors whose rows or elements do not agree, and missing ones', () => {
    const x = [tensor([3, 1])];
    expect(check({ x, y: [tensor([2])] })).toThrow('x has 3 rows, y has 2');
    expect(check({ x, y: [tensor([3])], sampleWeights: [tensor([4])] })).toThrow('the sample weights has 4');
    expect(check({ x: [tensor([3, 1], [1, 2])], y: [tensor([3])] })).toThrow('2 elements');
    expect(check({ x: [], y: [tensor([3])] })).toThrow('the data has 0 inputs, the model 1');
    expect(check({ x, y: [] })).toThrow('the data has 0 outputs, the model 1');
  });
});

describe('checkDataset', () => {
  const signature = { inputs: number, outputs: output([null, 2], 2) };
  const of = (length: number, bad = -1): Dataset =>
    fromArrays({ x: new Float32Array(length), y: Array.from({ length }, (_, row) => (row === bad ? 2 : 1)) });
  const codeOf = (dataset: Dataset, batchSize: number, shards: number) =>
    checkDataset(dataset, signature, { batchSize, shards }).then(
      () => 'fits',
      ({ code }) => code,
    );

  it('refuses an empty dataset, a batch beyond it, and more shards than rows of a batch', async () => {
    expect(await codeOf(of(0), 4, 2)).toBe('DATA_EMPTY');
    expect(await codeOf(of(3), 4, 2)).toBe('BATCH_TOO_LARGE');
    expect(await codeOf(of(8), 4, 5)).toBe('TOO_MANY_SHARDS');
    expect(await codeOf(of(8), 4, 4)).toBe('fits');
  });

  it('finds the one bad row of a large dataset in memory', async () => {
    await expect(checkDataset(of(9_000, 8_765), signature, { batchSize: 8, shards: 2 })).rejects.toThrow(
      'row 8765 of digit has the label 2',
    );
  });

  it('does not read a dataset that is not in memory', async () => {
    const dataset: Dataset = { length: 8, batch: () => Promise.reject(new TypeError('it was read')) };
    expect(await codeOf(dataset, 4, 4)).toBe('fits');
  });
});

describe('applyClassWeights', () => {
  const weightsOf = (y: HostTensor, given?: Float32Array) =>
    applyClassWeights(
      { x: [], y: [y], ...(given && { sampleWeights: [tensor([given.length], given)] }) },
      { 0: 0.5, 2: 3 },
    ).sampleWeights;

  it('weighs class numbers and one-hot rows alike, 1 for classes not listed', () => {
    const expected = [{ dtype: 'float32', shape: [3], data: Float32Array.of(3, 0.5, 1) }];
    expect(weightsOf(tensor([3], [2, 0, 1]))).toEqual(expected);
    expect(weightsOf(tensor([3, 1], [2, 0, 1]))).toEqual(expected);
    expect(weightsOf(tensor([3, 3], [0, 0, 1, 1, 0, 0, 0, 1, 0]))).toEqual(expected);
  });

  it('multiplies the sample weights', () => {
    expect(weightsOf(tensor([3], [2, 0, 1]), Float32Array.of(2, 4, 0.25))?.[0]?.data).toEqual(
      Float32Array.of(6, 2, 0.25),
    );
  });

  it('refuses several outputs and sequences, as Keras does', () => {
    const refused = (y: HostTensor[]) =>
      expect(() => applyClassWeights({ x: [], y }, { 0: 1 })).toThrow(
        expect.objectContaining({ code: 'BAD_OPTION' }),
      );
    refused([tensor([2]), tensor([2])]);
    refused([tensor([2, 3, 4])]);
  });
});
