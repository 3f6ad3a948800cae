import { LockstepError } from '../../shared/errors.js';
import { concatRows, type HostTensor } from '../../shared/tensors.js';
import type { Batch, StreamRecord } from './dataset.js';

/**
 * Stacks records into a batch, in order.
 * @throws LockstepError SHAPE_MISMATCH if their shapes or dtypes differ
 */
export function stackRecords(records: readonly StreamRecord[]): Batch {
  const [first] = records;
  const column = (kind: 'x' | 'y', index: number): HostTensor => {
    const rows = records.map((record) => {
      const tensor = record[kind][index];
      const { dtype, shape } = first[kind][index];
      if (tensor?.dtype !== dtype || String(tensor.shape) !== String(shape)) {
        const got = tensor === undefined ? 'nothing' : `${tensor.dtype}[${tensor.shape}]`;
        throw new LockstepError(
          'SHAPE_MISMATCH',
          `a record of the stream has ${kind}[${index}] ${got}, others ${dtype}[${shape}]`,
          {
            hint: 'Give every record the same shapes: pad sequences, resize images.',
          },
        );
      }
      return { ...tensor, shape: [1, ...tensor.shape] };
    });
    return concatRows(rows);
  };
  const batch = {
    x: first.x.map((_, index) => column('x', index)),
    y: first.y.map((_, index) => column('y', index)),
  };
  if (first.sampleWeights === undefined) return batch;
  return {
    ...batch,
    sampleWeights: first.y.map((_, output) => ({
      dtype: 'float32',
      shape: [records.length],
      data: Float32Array.from(records, (record) => record.sampleWeights?.[output] ?? 1),
    })),
  };
}
