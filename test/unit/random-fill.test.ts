import { expect, it } from 'vitest';
import { Random } from '../../shared/random.js';

it('fills an array with the numbers that single draws would give, and goes on from there', () => {
  const one = new Random(42);
  const many = new Random(42);
  const filled = new Uint32Array(1000);
  many.fill(filled);
  expect(Array.from(filled)).toEqual(Array.from({ length: 1000 }, () => one.uint32()));
  expect(many.uint32()).toBe(one.uint32());
});
