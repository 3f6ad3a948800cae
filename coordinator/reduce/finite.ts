import type { ShardPartial } from '../../shared/partial.js';

/**
 * Whether the gradient and the BatchNorm moments of a partial hold neither NaN nor Inf: x - x is 0 for finite x, and
 * NaN for all others. One pass without a branch, in four sums that do not wait for each other.
 */
export function isFinitePartial({ gradient, moments }: ShardPartial): boolean {
  return isFiniteArray(gradient) && moments.every(({ mean, m2 }) => isFiniteArray(mean) && isFiniteArray(m2));
}

function isFiniteArray(values: Float32Array | Float64Array): boolean {
  const { length } = values;
  let a = 0;
  let b = 0;
  let c = 0;
  let d = 0;
  let i = 0;
  for (; i + 3 < length; i += 4) {
    a += values[i] - values[i];
    b += values[i + 1] - values[i + 1];
    c += values[i + 2] - values[i + 2];
    d += values[i + 3] - values[i + 3];
  }
  for (; i < length; i++) a += values[i] - values[i];
  return a + b + c + d === 0;
}
