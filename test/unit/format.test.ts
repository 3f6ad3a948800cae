import { describe, expect, it } from 'vitest';
import { count, duration, metric, milliseconds, rate, shellQuoted } from '../../cli/format.js';

describe('numbers', () => {
  it.each([
    [metric(0.12345), '0.1235'],
    [metric(0), '0.0000'],
    [metric(0.00012345), '1.2345e-4'],
    [metric(1e7), '1.0000e+7'],
    [metric(Number.NaN), 'NaN'],
    [duration(400), '0s'],
    [duration(59_400), '59s'],
    [duration(59_600), '1m 00s'],
    [duration(7_500_000), '2h 05m'],
    [milliseconds(0.42), '0.42 ms'],
    [milliseconds(9.96), '10 ms'],
    [milliseconds(4200), '4.2 s'],
    [rate(3.14), '3.1'],
    [rate(999.4), '999'],
    [rate(999.6), '1.0k'],
    [rate(1_200_000), '1.2M'],
    [count(999), '999'],
    [count(1_234_567), '1,234,567'],
    [shellQuoted('a/b-c.ts'), 'a/b-c.ts'],
    [shellQuoted('$HOME'), "'$HOME'"],
  ])('reads %s', (shown, expected) => {
    expect(shown).toBe(expected);
  });
});
