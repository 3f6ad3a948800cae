import * as tf from '@tensorflow/tfjs';
import { LockstepError } from '../../shared/errors.js';
import { type DType, gatherRows, type HostTensor, sizeOf, type TensorData } from '../../shared/tensors.js';
import type { Dataset } from './dataset.js';

/** A typed array with its shape; without one it is a column. The row is the first axis. */
export interface ShapedArray {
  readonly data: TensorData | Float64Array | readonly number[];
  readonly shape?: readonly number[];
}

/** Rows in memory. Float64 and plain numbers become float32; uint8 images stay uint8 until they are on a worker. */
export type ArrayColumn =
  | tf.Tensor
  | HostTensor
  | ShapedArray
  | TensorData
  | Float64Array
  | readonly number[];

/** One array, one per input or output in order, or one per name. */
export type ArrayInput = ArrayColumn | readonly ArrayColumn[] | Readonly<Record<string, ArrayColumn>>;

/** What `fit` takes in place of a dataset. */
export interface ArrayData {
  readonly x: ArrayInput;
  readonly y: ArrayInput;
  /** One weight per row, or one array of them per output. */
  readonly sampleWeight?: ArrayInput;
}

export interface ColumnNames {
  readonly inputNames: readonly string[];
  readonly outputNames: readonly string[];
}

/** The names of a model whose inputs and outputs are given in order. */
const unnamed: ColumnNames = { inputNames: [], outputNames: [] };

/**
 * A dataset over arrays in memory, with random access. The arrays are not copied: leave them unchanged. A list of
 * plain values becomes a column, [rows, 1], as in `model.fit`.
 * @throws LockstepError SHAPE_MISMATCH if the row counts differ or a column is missing; BAD_OPTION for data by
 * name without `names`
 */
export function fromArrays(data: ArrayData, { inputNames, outputNames }: ColumnNames = unnamed): Dataset {
  const x = columnsOf('x', data.x, inputNames).map(atLeastTwoAxes);
  const y = columnsOf('y', data.y, outputNames).map(atLeastTwoAxes);
  const weights =
    data.sampleWeight === undefined ? null : weightsOf(data.sampleWeight, outputNames, y.length);
  const length = x[0]?.shape[0] ?? 0;
  for (const [name, columns] of Object.entries({ x, y, sampleWeight: weights ?? [] })) {
    for (const { shape } of columns) {
      if (shape[0] !== length)
        throw mismatch(`x has ${length} rows, ${name} has ${shape[0]}`, 'Give every row of x one row of y.');
    }
  }
  return {
    length,
    inMemory: true,
    batch(indices) {
      const rows = (tensor: HostTensor): HostTensor => gatherRows(tensor, indices);
      const batch = { x: x.map(rows), y: y.map(rows) };
      return weights === null ? batch : { ...batch, sampleWeights: weights.map(rows) };
    },
  };
}

function atLeastTwoAxes(tensor: HostTensor): HostTensor {
  return tensor.shape.length === 1 ? { ...tensor, shape: [...tensor.shape, 1] } : tensor;
}

function columnsOf(name: string, input: ArrayInput, names: readonly string[]): HostTensor[] {
  if (isColumn(input)) return [hostTensor(name, input)];
  if (Array.isArray(input)) {
    if (names.length > 0 && input.length !== names.length && Array.isArray(input[0])) {
      throw mismatch(
        `${name} is a list of ${input.length} lists, the model has ${names.length}: ${names.join(', ')}`,
        `Give rows as tf.tensor(${name}); a list holds one array per input or output.`,
      );
    }
    return (input as readonly ArrayColumn[]).map((column, index) => hostTensor(`${name}[${index}]`, column));
  }
  const record = input as Readonly<Record<string, ArrayColumn>>;
  if (names.length === 0) {
    throw new LockstepError('BAD_OPTION', `${name} is given by name, and the names' order is not known`, {
      hint: 'Pass { inputNames, outputNames } as the second argument, or give an array in the order of the model.',
    });
  }
  const unknown = Object.keys(record).find((key) => !names.includes(key));
  if (unknown !== undefined)
    throw mismatch(
      `${name} names "${unknown}", which the model does not have`,
      `It has: ${names.join(', ')}.`,
    );
  return names.map((key) => {
    if (!(key in record)) throw mismatch(`${name} lacks "${key}"`, `The model needs: ${names.join(', ')}.`);
    return hostTensor(`${name}.${key}`, record[key]);
  });
}

function weightsOf(input: ArrayInput, names: readonly string[], outputs: number): HostTensor[] {
  const columns = columnsOf('sampleWeight', input, names).map(
    ({ data, shape }): HostTensor => ({ dtype: 'float32', shape, data: Float32Array.from(data) }),
  );
  if (columns.length === outputs) return columns;
  if (columns.length === 1) return Array.from({ length: outputs }, () => columns[0]);
  throw mismatch(
    `${columns.length} sample weights for ${outputs} outputs`,
    'Give one array, or one per output.',
  );
}

function isColumn(input: ArrayInput): input is ArrayColumn {
  if (input instanceof tf.Tensor || ArrayBuffer.isView(input)) return true;
  if (Array.isArray(input)) return input.length > 0 && typeof input[0] === 'number';
  // An input may itself be named "data": then others stand beside it.
  const isShaped = Object.keys(input).every((key) => ['data', 'shape', 'dtype'].includes(key));
  return isShaped && 'data' in input && (ArrayBuffer.isView(input.data) || Array.isArray(input.data));
}

function hostTensor(name: string, column: ArrayColumn): HostTensor {
  if (column instanceof tf.Tensor) {
    if (column.dtype === 'string' || column.dtype === 'complex64') {
      throw mismatch(`${name} is a tensor of ${column.dtype}`, 'Use numbers: float32, int32 or bool.');
    }
    return { dtype: column.dtype, shape: column.shape, data: column.dataSync() as TensorData };
  }
  const isBare = ArrayBuffer.isView(column) || Array.isArray(column);
  const { data, shape } = isBare ? { data: column as TensorData, shape: undefined } : (column as ShapedArray);
  const dtype = 'dtype' in column ? (column.dtype as DType) : dtypeOf(data);
  const values =
    dtype === 'float32' && !(data instanceof Float32Array) ? Float32Array.from(data) : (data as TensorData);
  const full = shape ?? [values.length];
  if (sizeOf(full) !== values.length) {
    throw mismatch(
      `${name} has ${values.length} elements, its shape [${full}] has ${sizeOf(full)}`,
      'Correct the shape.',
    );
  }
  return { dtype, shape: full, data: values };
}

function dtypeOf(data: ShapedArray['data']): DType {
  if (data instanceof Int32Array) return 'int32';
  return data instanceof Uint8Array ? 'uint8' : 'float32';
}

function mismatch(message: string, hint: string): LockstepError {
  return new LockstepError('SHAPE_MISMATCH', message, { hint });
}
