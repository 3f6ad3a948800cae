import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { isFinitePartial } from '../../coordinator/reduce/finite.js';
import type { ShardPartial } from '../../shared/partial.js';

function partialOf(gradient: readonly number[], mean: readonly number[] = [], m2 = mean): ShardPartial {
  const moments = { batchNorm: 0, count: 2, mean: Float64Array.from(mean), m2: Float64Array.from(m2) };
  return { gradient: Float32Array.from(gradient), sums: new Float64Array(1), moments: [moments], scores: [] };
}

const bad = [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];

describe('a partial', () => {
  it('is finite if every number of its gradient and moments is, also the largest and smallest', () => {
    const max = 3.4028234663852886e38;
    expect(isFinitePartial(partialOf([max, max, -max, 1e-45, -0, 0, max]), 1)).toBe(true);
    expect(isFinitePartial(partialOf([], [Number.MAX_VALUE, Number.MAX_VALUE, Number.MIN_VALUE]), 1)).toBe(
      true,
    );
  });

  it('is not finite if one number is NaN or Inf, wherever it stands', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 40 }),
        fc.nat(39),
        fc.constantFrom(...bad),
        (length, at, value) => {
          const numbers = Array.from({ length }, (_, i) => (i === at % length ? value : i - 7));
          const fine = numbers.map(() => 1);
          expect(isFinitePartial(partialOf(numbers), 1)).toBe(false);
          expect(isFinitePartial(partialOf(fine, numbers, fine), 1)).toBe(false);
          expect(isFinitePartial(partialOf(fine, fine, numbers), 1)).toBe(false);
        },
      ),
    );
  });

  it('is not finite with Inf of both signs, which a sum would hide', () => {
    expect(isFinitePartial(partialOf([bad[1], bad[2], bad[1], bad[2], bad[2], bad[1]]), 1)).toBe(false);
  });
});

it('a partial is not finite if its loss is not, whatever its metrics are', () => {
  // Regularisation, loss and elements of one output, and a metric.
  const withSums = (...sums: number[]): ShardPartial => ({
    ...partialOf([1]),
    sums: Float64Array.from(sums),
  });
  expect(isFinitePartial(withSums(0, 2, 8, Number.NaN), 3)).toBe(true);
  for (const value of bad) {
    expect(isFinitePartial(withSums(0, value, 8, 1), 3)).toBe(false);
    expect(isFinitePartial(withSums(value, 2, 8, 1), 3)).toBe(false);
  }
});
