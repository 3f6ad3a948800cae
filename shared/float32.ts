import { f32x4, f64x2, i32, i32x4, v128 } from './simd/assembler.js';
import { BlockLoop } from './simd/block-loop.js';

// Loops over flat float32 buffers of millions of elements, run several times in every step. The plain loops define the
// bits; the vectorised ones compute the same operations on each element, and so the same bits.

const addition = new BlockLoop(2, (index, { operands: [left, right] }) =>
  v128.store(index, f32x4.add(v128.load(index, left), v128.load(index, right)), left),
);

/** Adds `right` into `left`, element by element in float32 (subnormals kept). */
export function addFloat32(left: Float32Array, right: Float32Array): void {
  if (addition.run([left, right], left, []) !== null) return;
  for (let i = 0; i < left.length; i++) left[i] += right[i];
}

/** All ones in NaN and Inf, and in no other float32. */
const exponent = 0x7f800000;

const detection = new BlockLoop(1, (index, { operands: [values], flags }) => {
  const ones = i32x4.splat(i32.const(exponent));
  const found = i32x4.equal(v128.and(v128.load(index, values), ones), ones);
  const base = i32.const(0);
  return v128.store(base, v128.or(v128.load(base, flags), found), flags);
});

/** Whether no element is NaN or infinite. */
export function isFiniteFloat32(values: Float32Array): boolean {
  const found = detection.run([values], null, []);
  if (found !== null) return !found;
  for (let i = 0; i < values.length; i++) if (!Number.isFinite(values[i])) return false;
  return true;
}

const combination = new BlockLoop(2, (index, { operands: [a, b], scalars: [factorOfA, factorOfB] }) => {
  const base = i32.const(0);
  const half = (offset: number) => {
    const scaled = (operand: number, factor: number) =>
      f64x2.mul(f64x2.promoteLow(v128.load64Zero(index, operand + offset)), v128.load64Splat(base, factor));
    const rounded = f32x4.demote(f64x2.sub(scaled(a, factorOfA), scaled(b, factorOfB)));
    return v128.storeLow64(index, rounded, a + offset);
  };
  return [...half(0), ...half(8)];
});

/**
 * `into = a · factorOfA - b · factorOfB`, each element computed in float64 and rounded to float32.
 * @param into may be `a`
 */
export function subtractScaled(
  into: Float32Array,
  [a, factorOfA]: readonly [Float32Array, number],
  [b, factorOfB]: readonly [Float32Array, number],
): void {
  if (combination.run([a, b], into, [factorOfA, factorOfB]) !== null) return;
  for (let i = 0; i < into.length; i++) into[i] = a[i] * factorOfA - b[i] * factorOfB;
}
