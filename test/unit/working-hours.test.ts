import { expect, it } from 'vitest';
import { WorkingHours } from '../../coordinator/server/working-hours.js';

it("a worker's time is what it computes, what it has to compute and does not, and the rest", () => {
  const hours = new WorkingHours();
  hours.begin(1_000);
  hours.ordered(2, 1_500);
  expect(hours.until(1_700)).toEqual({ computeMs: 0, networkMs: 200, idleMs: 500 });
  hours.answered(150, 1_800);
  hours.answered(100, 2_000);
  expect(hours.until(5_000)).toEqual({ computeMs: 250, networkMs: 250, idleMs: 3_500 });
});

it('orders of a program that is replaced are void', () => {
  const hours = new WorkingHours();
  hours.begin(0);
  hours.ordered(3, 0);
  hours.begin(400);
  hours.ordered(1, 1_000);
  hours.answered(50, 1_050);
  expect(hours.until(2_000)).toEqual({ computeMs: 50, networkMs: 400, idleMs: 1_550 });
});
