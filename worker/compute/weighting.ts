import { LockstepError } from '../../shared/errors.js';
import type { HostTensor, TensorData } from '../../shared/tensors.js';
import type { FedValue } from './fed.js';

/**
 * What the sum of a shard's losses of an output is multiplied by, to give the shard's summand of the output's
 * weighted mean loss over a batch of `batchRows` rows.
 */
export function lossShare(lossWeight: number, batchRows: number, elementsPerRow: number): FedValue {
  const share = lossWeight / (batchRows * elementsPerRow);
  return { dtype: 'float32', shape: [], data: Float32Array.of(share) };
}

/**
 * Sample weights as a tensor that multiplies per-sample values of `shape`: `[rows]` holds for all of a row's values,
 * `[rows, time]` for each step.
 * @throws LockstepError SHAPE_MISMATCH
 */
export function weightsFor(weights: HostTensor, shape: readonly number[], output: string): FedValue {
  const fits =
    weights.shape.length <= shape.length && weights.shape.every((dim, axis) => dim === shape[axis]);
  if (!fits) {
    throw new LockstepError(
      'SHAPE_MISMATCH',
      `sample weights of output ${output} have shape [${weights.shape}], its losses [${shape}]`,
      { hint: 'Give one weight per row, or per row and time step.' },
    );
  }
  const ones = new Array<number>(shape.length - weights.shape.length).fill(1);
  return { dtype: 'float32', shape: [...weights.shape, ...ones], data: weights.data };
}

/** Σ weight × value and Σ weight in float64, in row order; a weight counts for an equal run of values. */
export function weightedSum(values: TensorData, weights: TensorData | null): [sum: number, weight: number] {
  let sum = 0;
  if (weights === null) {
    for (const value of values) sum += value;
    return [sum, values.length];
  }
  const run = values.length / weights.length;
  let total = 0;
  for (let i = 0; i < values.length; i++) {
    const weight = weights[Math.floor(i / run)];
    sum += weight * values[i];
    total += weight;
  }
  return [sum, total];
}
