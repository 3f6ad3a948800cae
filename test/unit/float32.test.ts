import fc from 'fast-check';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { addFloat32, isFiniteFloat32, subtractScaled } from '../../shared/float32.js';
import { Random } from '../../shared/random.js';

afterEach(() => {
  vi.unstubAllGlobals();
});

/** Lengths around those where a loop changes its way: none, short, one block, some, and what is left of a round. */
const lengths = [0, 1, 7, 1_023, 1_024, 1_025, 8_191, 8_192, 8_193, 16_384, 20_003];

/** Random bits: every exponent, subnormals and zeros of both signs among them, but neither NaN nor Inf. */
function finiteBits(length: number, seed: number): Float32Array {
  const bits = new Uint32Array(length);
  new Random(seed).fill(bits);
  const values = new Float32Array(bits.buffer).map((value) => (Number.isFinite(value) ? value : -0));
  const special = [0, -0, 1e-45, -1e-45, 1.1754942e-38, 3.4028234663852886e38, -3.4028234663852886e38];
  values.set(special.slice(0, length));
  return values;
}

/** A view that begins in the middle of its buffer, as those of a weight do. */
const within = (values: Float32Array): Float32Array => {
  const buffer = new Float32Array(values.length + 3);
  buffer.set(values, 3);
  return buffer.subarray(3);
};

const bitsOf = ({ buffer, byteOffset, length }: Float32Array): number[] => [
  ...new Uint32Array(buffer, byteOffset, length),
];

describe.each(lengths)('%i floats', (length) => {
  const a = finiteBits(length, 1);
  const b = finiteBits(length, 2).reverse();

  it('are added with the bits of a float32 addition, element by element', () => {
    const sum = within(a);
    addFloat32(sum, within(b));
    expect(bitsOf(sum)).toEqual(bitsOf(a.map((value, i) => Math.fround(value + b[i]))));
  });

  it('are scaled and subtracted with the bits of float64, rounded once', () => {
    const expected = bitsOf(a.map((value, i) => Math.fround(value * 0.999 - 0.017 * b[i])));
    const into = within(new Float32Array(length));
    subtractScaled(into, [a, 0.999], [within(b), 0.017]);
    expect(bitsOf(into)).toEqual(expected);
    const inPlace = within(a);
    subtractScaled(inPlace, [inPlace, 0.999], [b, 0.017]);
    expect(bitsOf(inPlace)).toEqual(expected);
  });

  it('are finite', () => {
    expect(isFiniteFloat32(within(a))).toBe(true);
  });
});

it('one NaN or Inf is found, wherever it stands', () => {
  const bad = fc.constantFrom(Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY);
  fc.assert(
    fc.property(fc.constantFrom(...lengths.slice(1)), fc.nat(), bad, (length, at, value) => {
      const values = finiteBits(length, 3);
      values[at % length] = value;
      expect(isFiniteFloat32(within(values))).toBe(false);
    }),
  );
});

it('what is not finite is not found again in a shorter array', () => {
  expect(isFiniteFloat32(new Float32Array(8_192).fill(Number.NaN))).toBe(false);
  expect(isFiniteFloat32(finiteBits(1_025, 4))).toBe(true);
});

it('Inf of both signs, which a sum would hide, are found', () => {
  const values = Float32Array.from({ length: 4_096 }, (_, i) =>
    i % 2 === 0 ? Number.POSITIVE_INFINITY : Number.NEGATIVE_INFINITY,
  );
  expect(isFiniteFloat32(values)).toBe(false);
});

it('beyond the largest float32 a sum is infinite, and below the least normal one it keeps its bits', () => {
  const left = new Float32Array(2_048).fill(3.4028234663852886e38);
  addFloat32(left, left.slice());
  expect(left.every((value) => value === Number.POSITIVE_INFINITY)).toBe(true);
  const subnormal = new Float32Array(2_048).fill(1e-45);
  addFloat32(subnormal, subnormal.slice());
  expect(bitsOf(subnormal).every((bits) => bits === 2)).toBe(true);
});

it('floats are added with the same bits on a processor without vectors', async () => {
  class Refused {
    constructor() {
      throw new SyntaxError('Wasm SIMD unsupported');
    }
  }
  vi.stubGlobal('WebAssembly', { Memory: WebAssembly.Memory, validate: () => false, Module: Refused });
  vi.resetModules();
  const { addFloat32: add } = await import('../../shared/float32.js');
  const [a, b] = [finiteBits(1_025, 1), finiteBits(1_025, 2)];
  const sum = a.slice();
  add(sum, b);
  expect(bitsOf(sum)).toEqual(bitsOf(a.map((value, i) => Math.fround(value + b[i]))));
});
