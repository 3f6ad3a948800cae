import { type HostTensor, sizeOf, type TensorData } from '../../shared/tensors.js';
import { corruptData, readDataFile } from './read-data-file.js';

/** Element types of the format: how many bytes, and how one is read (big-endian). */
const elements = {
  8: { bytes: 1, dtype: 'uint8', read: (view: DataView, at: number) => view.getUint8(at) },
  9: { bytes: 1, dtype: 'int32', read: (view: DataView, at: number) => view.getInt8(at) },
  11: { bytes: 2, dtype: 'int32', read: (view: DataView, at: number) => view.getInt16(at) },
  12: { bytes: 4, dtype: 'int32', read: (view: DataView, at: number) => view.getInt32(at) },
  13: { bytes: 4, dtype: 'float32', read: (view: DataView, at: number) => view.getFloat32(at) },
  14: { bytes: 8, dtype: 'float32', read: (view: DataView, at: number) => view.getFloat64(at) },
} as const;

/**
 * Reads an IDX file, the format of MNIST (yann.lecun.com/exdb/mnist), gzip or plain. Unsigned bytes stay uint8;
 * other integers become int32, floats float32.
 * @throws LockstepError DATA_NOT_FOUND; DATA_CORRUPT if it is truncated or no IDX file
 */
export async function readIdx(path: string): Promise<HostTensor> {
  const bytes = await readDataFile(path);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (bytes.length < 4 || view.getUint16(0) !== 0) {
    throw corruptData(path, 'it does not begin as an IDX file (two zero bytes, type, number of axes)');
  }
  const type = view.getUint8(2);
  const element = type in elements ? elements[type as keyof typeof elements] : null;
  if (element === null) throw corruptData(path, `it has the element type ${type}, which IDX does not define`);
  const axes = view.getUint8(3);
  const begin = 4 + 4 * axes;
  if (axes === 0 || bytes.length < begin)
    throw corruptData(path, `it ends within its header of ${axes} axes`);
  const shape = Array.from({ length: axes }, (_, axis) => view.getUint32(4 + 4 * axis));
  const length = sizeOf(shape);
  const expected = begin + length * element.bytes;
  if (bytes.length !== expected) {
    throw corruptData(path, `it has ${bytes.length} bytes, expected ${expected} for [${shape}]`);
  }
  return { dtype: element.dtype, shape, data: readAll(view, begin, length, element) };
}

function readAll(
  view: DataView,
  begin: number,
  length: number,
  { bytes, dtype, read }: (typeof elements)[keyof typeof elements],
): TensorData {
  if (dtype === 'uint8')
    return new Uint8Array(view.buffer as ArrayBuffer, view.byteOffset + begin, length).slice();
  const data = dtype === 'int32' ? new Int32Array(length) : new Float32Array(length);
  for (let i = 0; i < length; i++) data[i] = read(view, begin + i * bytes);
  return data;
}
