import { isFiniteFloat32 } from '../../shared/float32.js';
import type { ShardPartial } from '../../shared/partial.js';

/**
 * Whether the gradient, the BatchNorm moments and the loss of a partial hold neither NaN nor Inf: what a step is not
 * committed with. A metric may be NaN.
 * @param lossSums how many of its sums, the first ones, are about the loss
 */
export function isFinitePartial({ gradient, moments, sums }: ShardPartial, lossSums: number): boolean {
  return (
    areFinite(sums.subarray(0, lossSums)) &&
    isFiniteFloat32(gradient) &&
    moments.every(({ mean, m2 }) => areFinite(mean) && areFinite(m2))
  );
}

function areFinite(values: Float64Array): boolean {
  return values.every((value) => Number.isFinite(value));
}
