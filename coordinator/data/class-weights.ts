import { LockstepError } from '../../shared/errors.js';
import { type HostTensor, sizeOf } from '../../shared/tensors.js';
import type { Batch } from './dataset.js';

/**
 * Multiplies each row's sample weight by the weight of its class (1 for classes that are not listed), as Keras does.
 * @throws LockstepError BAD_OPTION for several outputs, or labels that are not one class per row
 */
export function applyClassWeights(batch: Batch, classWeight: Readonly<Record<number, number>>): Batch {
  const [labels, ...others] = batch.y;
  if (others.length > 0) {
    throw new LockstepError('BAD_OPTION', `classWeight with ${batch.y.length} outputs`, {
      hint: 'Give sample weights per output instead.',
    });
  }
  const given = batch.sampleWeights?.[0]?.data ?? null;
  const weights = Float32Array.from(
    classesOf(labels),
    (label, row) => (classWeight[label] ?? 1) * (given?.[row] ?? 1),
  );
  return { ...batch, sampleWeights: [{ dtype: 'float32', shape: [weights.length], data: weights }] };
}

/** The class of each row: a class number, or the largest entry of a one-hot row. */
function classesOf({ data, shape }: HostTensor): number[] {
  const [rows, width] = [shape[0], sizeOf(shape.slice(1))];
  if (shape.length > 2) {
    throw new LockstepError('BAD_OPTION', `classWeight with targets of shape [*, ${shape.slice(1)}]`, {
      hint: 'Class weights need one class per row; give sample weights instead.',
    });
  }
  return Array.from({ length: rows }, (_, row) => {
    if (width === 1) return data[row];
    let best = 0;
    for (let c = 1; c < width; c++) if (data[row * width + c] > data[row * width + best]) best = c;
    return best;
  });
}
