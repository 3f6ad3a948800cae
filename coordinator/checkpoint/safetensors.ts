import { invariant, LockstepError } from '../../shared/errors.js';
import { bytesOf, sizeOf } from '../../shared/tensors.js';

/*
 * The safetensors format (https://huggingface.co/docs/safetensors/index#format):
 *
 *   u64 little-endian header length · JSON header {name: {dtype, shape, data_offsets}} · the tensors' bytes
 *
 * Written here: the tensors with the widest elements first and then by name, so that equal tensors give equal
 * files and every tensor is aligned; the header is padded with spaces to a multiple of eight bytes.
 */

const kinds = {
  F64: { bytes: 8, make: (buffer: ArrayBuffer) => new Float64Array(buffer) },
  F32: { bytes: 4, make: (buffer: ArrayBuffer) => new Float32Array(buffer) },
  I32: { bytes: 4, make: (buffer: ArrayBuffer) => new Int32Array(buffer) },
  U8: { bytes: 1, make: (buffer: ArrayBuffer) => new Uint8Array(buffer) },
} as const;

export type SafeDType = keyof typeof kinds;
export type SafeData = Float64Array | Float32Array | Int32Array | Uint8Array;

export interface SafeTensor {
  readonly shape: readonly number[];
  /** Row-major; its type is the tensor's dtype. */
  readonly data: SafeData;
}

/** The limit of the reference implementation. */
const maxHeaderBytes = 100_000_000;

function dtypeOf(data: SafeData): SafeDType {
  if (data instanceof Float64Array) return 'F64';
  if (data instanceof Float32Array) return 'F32';
  if (data instanceof Int32Array) return 'I32';
  return 'U8';
}

/**
 * The file's bytes as consecutive chunks; the tensors' own memory is not copied and must not change until they
 * are written.
 */
export function safetensorsChunks(tensors: ReadonlyMap<string, SafeTensor>): Uint8Array[] {
  const ordered = [...tensors]
    .map(([name, { shape, data }]) => ({ name, shape, data, dtype: dtypeOf(data) }))
    .sort((a, b) => kinds[b.dtype].bytes - kinds[a.dtype].bytes || (a.name < b.name ? -1 : 1));
  let end = 0;
  const fields = ordered.map(({ name, shape, data, dtype }) => {
    invariant(name !== '__metadata__', 'a tensor has the name that safetensors reserves');
    invariant(sizeOf(shape) === data.length, `tensor ${name}: ${data.length} elements for [${shape}]`);
    const begin = end;
    end += data.byteLength;
    return `${JSON.stringify(name)}:${JSON.stringify({ dtype, shape, data_offsets: [begin, end] })}`;
  });
  // Joined by hand: an object would put names that look like numbers first.
  const json = new TextEncoder().encode(`{${fields.join(',')}}`);
  const header = new Uint8Array(8 + Math.ceil(json.length / 8) * 8).fill(0x20);
  new DataView(header.buffer).setBigUint64(0, BigInt(header.length - 8), true);
  header.set(json, 8);
  return [header, ...ordered.map(({ data }) => bytesOf(data))];
}

export function encodeSafetensors(tensors: ReadonlyMap<string, SafeTensor>): Uint8Array {
  const chunks = safetensorsChunks(tensors);
  const file = new Uint8Array(chunks.reduce((sum, chunk) => sum + chunk.length, 0));
  let offset = 0;
  for (const chunk of chunks) {
    file.set(chunk, offset);
    offset += chunk.length;
  }
  return file;
}

interface Entry {
  readonly name: string;
  readonly dtype: SafeDType;
  readonly shape: readonly number[];
  readonly begin: number;
  readonly end: number;
}

/**
 * Reads a file of the four element types that Lockstep writes. Every length is checked against the file before
 * it is used, and the tensors must cover the data exactly, without gaps or overlaps. The tensors are copies.
 * @throws LockstepError CHECKPOINT_CORRUPT
 */
export function decodeSafetensors(file: Uint8Array): Map<string, SafeTensor> {
  if (file.length < 8) refuse(`the file has ${file.length} bytes`);
  const view = new DataView(file.buffer, file.byteOffset, file.byteLength);
  const headerBytes = view.getBigUint64(0, true);
  if (headerBytes > BigInt(Math.min(maxHeaderBytes, file.length - 8))) {
    refuse(`the header's length ${headerBytes} is beyond the end of the file`);
  }
  const dataStart = 8 + Number(headerBytes);
  const header = headerOf(file.subarray(8, dataStart));
  const entries = Object.entries(header)
    .filter(([name]) => name !== '__metadata__')
    .map(([name, fields]) => entryOf(name, fields))
    .sort((a, b) => a.begin - b.begin || a.end - b.end);
  let covered = 0;
  for (const { name, begin, end } of entries) {
    if (begin !== covered) refuse(`tensor ${name} leaves a gap or overlaps another`);
    covered = end;
  }
  if (covered !== file.length - dataStart) refuse(`${file.length - dataStart} bytes of data, not ${covered}`);
  return new Map(
    entries.map(({ name, dtype, shape, begin, end }) => {
      const copy = new Uint8Array(end - begin);
      copy.set(file.subarray(dataStart + begin, dataStart + end));
      return [name, { shape, data: kinds[dtype].make(copy.buffer) }];
    }),
  );
}

function headerOf(bytes: Uint8Array): object {
  if (bytes[0] !== 0x7b) refuse('the header does not begin with {');
  try {
    const header: unknown = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
    if (isObject(header)) return header;
  } catch (cause) {
    refuse('the header is not JSON', cause);
  }
  return refuse('the header is not an object');
}

function entryOf(name: string, fields: unknown): Entry {
  if (!isObject(fields) || Object.keys(fields).sort().join() !== 'data_offsets,dtype,shape') {
    return refuse(`tensor ${name} is not described by dtype, shape and data_offsets`);
  }
  const { dtype, shape, data_offsets: offsets } = fields;
  if (typeof dtype !== 'string' || !Object.hasOwn(kinds, dtype)) {
    return refuse(`tensor ${name} has the element type ${dtype}`);
  }
  if (!isSizes(shape)) return refuse(`tensor ${name} has a malformed shape`);
  if (!isSizes(offsets) || offsets.length !== 2) return refuse(`tensor ${name} has malformed offsets`);
  const [begin, end] = offsets;
  const kind = dtype as SafeDType;
  if (end - begin !== sizeOf(shape) * kinds[kind].bytes) {
    return refuse(`tensor ${name}: ${end - begin} bytes for ${kind}[${shape}]`);
  }
  return { name, dtype: kind, shape, begin, end };
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function isSizes(value: unknown): value is number[] {
  return Array.isArray(value) && value.every((size) => Number.isSafeInteger(size) && size >= 0);
}

function refuse(reason: string, cause?: unknown): never {
  throw new LockstepError('CHECKPOINT_CORRUPT', `not a valid safetensors file: ${reason}`, {
    hint: 'Resume from another checkpoint, or train again.',
    cause,
  });
}
