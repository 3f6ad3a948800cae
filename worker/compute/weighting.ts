import * as tf from '@tensorflow/tfjs';
import { LockstepError } from '../../shared/errors.js';
import type { HostTensor, TensorData } from '../../shared/tensors.js';

/**
 * Sample weights as a tensor that multiplies per-sample values of `shape`: `[rows]` holds for all of a row's values,
 * `[rows, time]` for each step.
 * @throws LockstepError SHAPE_MISMATCH
 */
export function weightsFor(weights: HostTensor, shape: readonly number[], output: string): tf.Tensor {
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
  return tf.tensor(weights.data, [...weights.shape, ...ones], 'float32');
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
