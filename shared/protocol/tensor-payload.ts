import { invariant } from '../errors.js';
import type { ShardData } from '../program.js';
import { bytesOf, bytesPerElement, type HostTensor, sizeOf, tensorFromBytes } from '../tensors.js';
import type { ShardTensorHeader, TensorHeader } from './fields.js';
import { joinPadded, padded } from './padding.js';

const byteLengthOf = ({ dtype, shape }: TensorHeader): number => sizeOf(shape) * bytesPerElement[dtype];

/** Bytes of the payload that holds these tensors, each padded to 8 bytes. */
export function tensorBytes(headers: readonly TensorHeader[]): number {
  return headers.reduce((sum, header) => sum + padded(byteLengthOf(header)), 0);
}

/** The tensors as they travel; nothing is copied. */
export function encodeTensors(tensors: readonly HostTensor[]): {
  tensors: TensorHeader[];
  payload: Uint8Array[];
} {
  return {
    tensors: tensors.map(({ dtype, shape }) => ({ dtype, shape: [...shape] })),
    payload: joinPadded(tensors.map(({ data }) => bytesOf(data))),
  };
}

/**
 * Views the payload as the tensors it holds, without a copy.
 * @param payload aligned to 8 bytes and as long as `tensorBytes(headers)`: a session has checked both
 */
export function decodeTensors(headers: readonly TensorHeader[], payload: Uint8Array): HostTensor[] {
  invariant(payload.byteLength === tensorBytes(headers), 'tensors whose payload has another length');
  let offset = 0;
  return headers.map((header) => {
    const bytes = payload.subarray(offset, offset + byteLengthOf(header));
    offset += padded(bytes.byteLength);
    return tensorFromBytes(header.dtype, header.shape, bytes);
  });
}

/** A shard's data as it travels: inputs, targets and the sample weights that there are. */
export function encodeShardData({ x, y, sampleWeights }: ShardData): {
  tensors: ShardTensorHeader[];
  payload: Uint8Array[];
} {
  invariant(sampleWeights.length === y.length, 'sample weights need one entry per output');
  const placed = [
    ...x.map((tensor, index) => ({ role: 'x' as const, index, tensor })),
    ...y.map((tensor, index) => ({ role: 'y' as const, index, tensor })),
    ...sampleWeights.flatMap((tensor, index) =>
      tensor === null ? [] : [{ role: 'weight' as const, index, tensor }],
    ),
  ];
  const { tensors, payload } = encodeTensors(placed.map(({ tensor }) => tensor));
  return {
    tensors: tensors.map((header, i) => ({ ...header, role: placed[i].role, index: placed[i].index })),
    payload,
  };
}

/** The inverse of `encodeShardData`, as views of the payload. */
export function decodeShardData(headers: readonly ShardTensorHeader[], payload: Uint8Array): ShardData {
  const tensors = decodeTensors(headers, payload);
  const ofRole = (role: ShardTensorHeader['role']): HostTensor[] =>
    tensors.filter((_, i) => headers[i].role === role);
  const y = ofRole('y');
  const sampleWeights: (HostTensor | null)[] = y.map(() => null);
  headers.forEach((header, i) => {
    if (header.role === 'weight') sampleWeights[header.index] = tensors[i];
  });
  return { x: ofRole('x'), y, sampleWeights };
}

/** Whether inputs and targets come in order without gaps, and each sample weight belongs to one target. */
export function areShardTensors(headers: readonly ShardTensorHeader[]): boolean {
  const indices = { x: 0, y: 0, weight: -1 };
  const targets = headers.filter(({ role }) => role === 'y').length;
  return headers.every(({ role, index }) => {
    if (role === 'weight') {
      const ordered = index > indices.weight && index < targets;
      indices.weight = index;
      return ordered;
    }
    const expected = indices[role];
    indices[role] += 1;
    return index === expected;
  });
}
