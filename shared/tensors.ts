import { invariant } from './errors.js';

/** Element types that travel: float32 values, int32 labels and tokens, uint8 images, bool masks (0 or 1). */
export type DType = 'float32' | 'int32' | 'uint8' | 'bool';

export type TensorData = Float32Array | Int32Array | Uint8Array;

/** A tensor in host memory, row-major. `data.length` is the product of `shape`. */
export interface HostTensor {
  readonly dtype: DType;
  readonly shape: readonly number[];
  readonly data: TensorData;
}

const constructors = {
  float32: Float32Array,
  int32: Int32Array,
  uint8: Uint8Array,
  bool: Uint8Array,
} as const;

export const bytesPerElement: Readonly<Record<DType, number>> = { float32: 4, int32: 4, uint8: 1, bool: 1 };

export function sizeOf(shape: readonly number[]): number {
  let size = 1;
  for (const dim of shape) size *= dim;
  return size;
}

/** Views `bytes` (aligned to the element size) as a tensor, without a copy. */
export function tensorFromBytes(dtype: DType, shape: readonly number[], bytes: Uint8Array): HostTensor {
  const length = sizeOf(shape);
  invariant(
    bytes.byteLength === length * bytesPerElement[dtype],
    `tensor of ${dtype}[${shape}] from ${bytes.byteLength} bytes`,
  );
  const Constructor = constructors[dtype];
  return { dtype, shape, data: new Constructor(bytes.buffer as ArrayBuffer, bytes.byteOffset, length) };
}

export function bytesOf(array: ArrayBufferView): Uint8Array {
  return new Uint8Array(array.buffer, array.byteOffset, array.byteLength);
}

/** Rows `[lo, hi)` of the first axis, as a view of the same memory. */
export function sliceRows(tensor: HostTensor, lo: number, hi: number): HostTensor {
  const rowSize = sizeOf(tensor.shape.slice(1));
  return {
    dtype: tensor.dtype,
    shape: [hi - lo, ...tensor.shape.slice(1)],
    data: tensor.data.subarray(lo * rowSize, hi * rowSize),
  };
}

/** The rows named by `indices`, copied together in that order. */
export function gatherRows(tensor: HostTensor, indices: ArrayLike<number>): HostTensor {
  const rowSize = sizeOf(tensor.shape.slice(1));
  const data = new constructors[tensor.dtype](indices.length * rowSize);
  for (let i = 0; i < indices.length; i++) {
    const from = indices[i] * rowSize;
    data.set(tensor.data.subarray(from, from + rowSize), i * rowSize);
  }
  return { dtype: tensor.dtype, shape: [indices.length, ...tensor.shape.slice(1)], data };
}

/** Concatenates tensors of one dtype and row shape along the first axis. */
export function concatRows(tensors: readonly HostTensor[]): HostTensor {
  invariant(tensors.length > 0, 'concatRows needs a tensor');
  const [first] = tensors;
  const rows = tensors.reduce((sum, tensor) => sum + tensor.shape[0], 0);
  const data = new constructors[first.dtype](rows * sizeOf(first.shape.slice(1)));
  let offset = 0;
  for (const tensor of tensors) {
    data.set(tensor.data, offset);
    offset += tensor.data.length;
  }
  return { dtype: first.dtype, shape: [rows, ...first.shape.slice(1)], data };
}
