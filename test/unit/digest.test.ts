import { describe, expect, it } from 'vitest';
import { digestOf, digestPattern } from '../../shared/digest.js';

/** The buffer that xxHash's own self-test hashes (cli/xsum_sanity_check.c). */
function sanityBuffer(length: number): Uint8Array {
  let state = 2_654_435_761n;
  return Uint8Array.from({ length }, () => {
    const byte = Number(state >> 56n);
    state = BigInt.asUintN(64, state * 11_400_714_785_074_694_797n);
    return byte;
  });
}

describe('digestOf', () => {
  // Length and digest, seed 0, from the same file.
  it.each([
    [0, '99aa06d3014798d86001c324468d497f'],
    [1, 'a6cd5e9392000f6ac44bdff4074eecdb'],
    [6, '082afe0b8162d12a3e7039bdda43cfc6'],
    [12, '6e3efd8fc7802b18061a192713f69ad9'],
    [24, '0ce966e4678d37611e7044d28b1b901d'],
    [48, 'a002ac4e5478227ef942219aed80f67b'],
    [81, '4952f58181ab00425e8bafb9f95fb803'],
    [222, '337e09641b948717f1aebd597cec6b3a'],
    [403, '1b6de21e332dd73dcdeb804d65c6dea4'],
    [512, '18d2d110dcc9bca1617e49599013cb6b'],
    [2_048, 'f736557fd47073a5dd59e2c3a5f038e0'],
    [2_240, 'ccb134fbfa7ce49d6e73a90539cf2948'],
    [2_367, 'e89c0f6ff369b427cb37aeb9e5d361ed'],
  ])('gives the reference vector of XXH128 for %i bytes', (length, expected) => {
    expect(digestOf([sanityBuffer(length)])).toBe(expected);
    expect(expected).toMatch(digestPattern);
  });

  it('is that of the pieces put together, however they are cut', () => {
    const whole = sanityBuffer(2_367);
    for (const at of [0, 1, 15, 240, 1_024, 2_366]) {
      expect(digestOf([whole.subarray(0, at), whole.subarray(at)])).toBe(digestOf([whole]));
    }
  });
});
