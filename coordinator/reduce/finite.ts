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

/** All ones in NaN and Inf, and in no other float32. */
const exponent = 0x7f800000;

/** Looks at the bits, four at a time: half as long as adding the array to another, which happens to it next anyway. */
function isFiniteFloat32({ buffer, byteOffset, length }: Float32Array): boolean {
  const bits = new Int32Array(buffer, byteOffset, length);
  const rest = length & 3;
  for (let i = 0; i < length - rest; i += 4) {
    if (
      (bits[i] & exponent) === exponent ||
      (bits[i + 1] & exponent) === exponent ||
      (bits[i + 2] & exponent) === exponent ||
      (bits[i + 3] & exponent) === exponent
    ) {
      return false;
    }
  }
  for (let i = length - rest; i < length; i++) if ((bits[i] & exponent) === exponent) return false;
  return true;
}

function areFinite(values: Float64Array): boolean {
  return values.every((value) => Number.isFinite(value));
}
