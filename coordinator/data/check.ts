import { LockstepError } from '../../shared/errors.js';
import { type HostTensor, sizeOf } from '../../shared/tensors.js';
import type { Batch, Dataset } from './dataset.js';

/** A tensor that a model takes or is compared with; unknown lengths and the row axis are null. */
export interface SignatureTensor {
  readonly name: string;
  readonly shape: readonly (number | null)[];
}

/** What the batches of a model must look like. */
export interface BatchSignature {
  readonly inputs: readonly SignatureTensor[];
  /** With `sparseClasses`, labels are class numbers below it and have no class axis. */
  readonly outputs: readonly (SignatureTensor & { readonly sparseClasses: number | null })[];
}

/** Rows checked at a time when a whole dataset is. */
const blockRows = 4_096;

/**
 * Checks a batch before it is sent.
 * @param firstRow added to the row numbers in messages
 * @throws LockstepError SHAPE_MISMATCH, LABEL_OUT_OF_RANGE, DATA_NOT_FINITE naming tensor and row
 */
export function checkBatch(batch: Batch, { inputs, outputs }: BatchSignature, firstRow = 0): void {
  checkCount('inputs', batch.x.length, inputs);
  checkCount('outputs', batch.y.length, outputs);
  checkRows(batch);
  batch.x.forEach((tensor, index) => {
    checkShape('input', tensor, inputs[index], inputs[index].shape);
    checkFinite(`input ${inputs[index].name}`, tensor, firstRow);
  });
  batch.y.forEach((tensor, index) => {
    const { name, shape, sparseClasses } = outputs[index];
    if (sparseClasses === null) {
      const isNumber = tensor.shape.length < shape.length || tensor.shape.at(-1) === 1;
      const hint = isNumber
        ? 'Reshape the data, or change the model; class numbers take the loss sparseCategoricalCrossentropy.'
        : undefined;
      checkShape('output', tensor, outputs[index], withoutNarrowAxis(tensor, shape), hint);
    } else checkLabels(name, tensor, shape, sparseClasses, firstRow);
    checkFinite(`output ${name}`, tensor, firstRow);
  });
  batch.sampleWeights?.forEach((tensor, index) => {
    if (tensor === null) return;
    checkShape('sample weights', tensor, outputs[index], [null]);
    checkFinite(`sample weights of ${outputs[index].name}`, tensor, firstRow);
  });
}

/**
 * Checks a dataset with random access before training: all rows if they are in memory; others are checked batch
 * by batch.
 * @throws LockstepError DATA_EMPTY, BATCH_TOO_LARGE, TOO_MANY_SHARDS, and what `checkBatch` throws
 */
export async function checkDataset(
  dataset: Dataset,
  signature: BatchSignature,
  { batchSize, shards }: { readonly batchSize: number; readonly shards: number },
): Promise<void> {
  if (dataset.length === 0) {
    throw new LockstepError('DATA_EMPTY', 'the dataset holds no rows', {
      hint: 'Look at how it is read or split.',
    });
  }
  if (batchSize > dataset.length) {
    throw new LockstepError(
      'BATCH_TOO_LARGE',
      `a batch of ${batchSize} rows from ${dataset.length} rows of data`,
      {
        hint: `Use a batch size of at most ${dataset.length}.`,
      },
    );
  }
  if (shards > batchSize) {
    throw new LockstepError('TOO_MANY_SHARDS', `${shards} shards of a batch of ${batchSize} rows`, {
      hint: `Use at most ${batchSize} shards, or a larger batch.`,
    });
  }
  if (dataset.inMemory !== true) return;
  for (let lo = 0; lo < dataset.length; lo += blockRows) {
    const rows = Math.min(blockRows, dataset.length - lo);
    checkBatch(await dataset.batch(Int32Array.from({ length: rows }, (_, row) => lo + row)), signature, lo);
  }
}

function checkCount(what: string, got: number, expected: readonly SignatureTensor[]): void {
  if (got === expected.length) return;
  throw mismatch(
    `the data has ${got} ${what}, the model ${expected.length}`,
    `The model's ${what}: ${expected.map(({ name }) => name).join(', ')}.`,
  );
}

/** Every tensor holds the rows of the first, and as many elements as its shape says. */
function checkRows({ x, y, sampleWeights = [] }: Batch): void {
  const rows = x[0]?.shape[0] ?? 0;
  for (const [name, tensors] of Object.entries({ x, y, 'the sample weights': sampleWeights })) {
    for (const tensor of tensors) {
      if (tensor === null) continue;
      if (tensor.shape[0] !== rows) {
        throw mismatch(
          `x has ${rows} rows, ${name} has ${tensor.shape[0]}`,
          'Give every row of x one row of y.',
        );
      }
      if (tensor.data.length !== sizeOf(tensor.shape)) {
        throw mismatch(
          `a tensor of ${name} has ${tensor.data.length} elements, its shape [${tensor.shape}] has ${sizeOf(tensor.shape)}`,
          'Correct what batch(indices) returns.',
        );
      }
    }
  }
}

/** As in Keras, labels of an output one wide may leave that axis out. */
function withoutNarrowAxis(
  labels: HostTensor,
  shape: readonly (number | null)[],
): readonly (number | null)[] {
  return shape.at(-1) === 1 && labels.shape.length === shape.length - 1 ? shape.slice(0, -1) : shape;
}

function checkShape(
  what: string,
  { shape }: HostTensor,
  { name }: SignatureTensor,
  expected: readonly (number | null)[],
  hint = 'Reshape the data, or change the model.',
): void {
  const fits =
    shape.length === expected.length &&
    expected.every((dim, axis) => axis === 0 || dim === null || dim === shape[axis]);
  if (!fits) {
    throw mismatch(
      `${what} ${name}: expected ${text(expected)}, got ${text([null, ...shape.slice(1)])}`,
      hint,
    );
  }
}

/** Class numbers: as many as outputs without the class axis, which may be left out or be 1. */
function checkLabels(
  name: string,
  labels: HostTensor,
  shape: readonly (number | null)[],
  classes: number,
  firstRow: number,
): void {
  const withoutClasses = shape.slice(0, -1);
  const expected = labels.shape.length === shape.length ? [...withoutClasses, 1] : withoutClasses;
  const isOneHot = labels.shape.length === shape.length && labels.shape.at(-1) === classes;
  const hint = isOneHot
    ? 'Reshape the data, or change the model; one-hot rows take the loss categoricalCrossentropy.'
    : undefined;
  checkShape('labels of', labels, { name, shape }, expected, hint);
  const perRow = sizeOf(labels.shape.slice(1));
  const bad = labels.data.findIndex((label) => !(Number.isInteger(label) && label >= 0 && label < classes));
  if (bad < 0) return;
  throw new LockstepError(
    'LABEL_OUT_OF_RANGE',
    `row ${firstRow + Math.floor(bad / perRow)} of ${name} has the label ${labels.data[bad]}, expected 0 to ${classes - 1}`,
    { hint: 'Number the classes from 0, or widen the output.' },
  );
}

function checkFinite(what: string, { data, shape, dtype }: HostTensor, firstRow: number): void {
  if (dtype !== 'float32') return;
  let sum = 0;
  // x - x is 0 for every finite x, else NaN.
  for (let i = 0; i < data.length; i++) sum += data[i] - data[i];
  if (sum === 0) return;
  const bad = (data as Float32Array).findIndex((value) => !Number.isFinite(value));
  const row = firstRow + Math.floor(bad / sizeOf(shape.slice(1)));
  throw new LockstepError('DATA_NOT_FINITE', `row ${row} of ${what} holds ${data[bad]}`, {
    hint: 'Fill in or drop missing values before training.',
  });
}

function text(shape: readonly (number | null)[]): string {
  return `[${shape.map((dim) => dim ?? '*').join(', ')}]`;
}

function mismatch(message: string, hint: string): LockstepError {
  return new LockstepError('SHAPE_MISMATCH', message, { hint });
}
