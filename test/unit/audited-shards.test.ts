import { describe, expect, it } from 'vitest';
import { auditedShards, checkAuditFraction } from '../../coordinator/loop/audited-shards.js';

describe('the audited shards of a step', () => {
  it('are all at a fraction of 1, and none at 0', () => {
    expect(auditedShards({ seed: 1, fraction: 1 }, 5, 4)).toEqual([0, 1, 2, 3]);
    expect(auditedShards({ seed: 1, fraction: 0 }, 5, 4)).toEqual([]);
  });

  it('are about the fraction of all, differ between steps and seeds, and are the same again', () => {
    const over = (seed: number): number[][] =>
      Array.from({ length: 1_000 }, (_, step) => auditedShards({ seed, fraction: 0.1 }, step, 8));
    const count = over(3).flat().length;
    // Binomial, n = 8,000: 800 with a deviation of 27.
    expect(Math.abs(count - 800)).toBeLessThan(4 * 27);
    expect(over(3)).toEqual(over(3));
    expect(over(3)).not.toEqual(over(4));
    expect(new Set(over(3).flat()).size).toBe(8);
  });

  it('of a smaller batch are those that it has', () => {
    const all = auditedShards({ seed: 9, fraction: 0.5 }, 7, 16);
    expect(auditedShards({ seed: 9, fraction: 0.5 }, 7, 5)).toEqual(all.filter((shard) => shard < 5));
  });
});

describe('a fraction', () => {
  it.each([-0.1, 1.1, Number.NaN, Number.POSITIVE_INFINITY])('of %s is refused', (fraction) => {
    expect(() => checkAuditFraction(fraction)).toThrow(/auditFraction is .*, expected a number from 0 to 1/);
  });
});
