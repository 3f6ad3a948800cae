import { expect, it } from 'vitest';
import { quietComingAndGoing } from '../../cli/coming-and-going.js';
import type { RunEvent } from '../../coordinator/events.js';

const joined: RunEvent = {
  type: 'worker-joined',
  worker: { worker: 1, host: 'a', pid: 2, backend: 'cpu', device: null, threads: 1 },
};
const lost: RunEvent = { type: 'worker-lost', worker: 1, reason: 'gone' };
const step: RunEvent = { type: 'waiting', reason: 'something else' };

it('tells of every worker while few come and go, and of how many when they flap', () => {
  const told: RunEvent[] = [];
  let nowMs = 1_000;
  const listen = quietComingAndGoing(
    (event) => told.push(event),
    () => nowMs,
  );
  for (let i = 0; i < 500; i++) {
    listen(joined);
    listen(lost);
    if (i === 400) listen(step);
  }
  expect(told).toHaveLength(61);
  expect(told.at(-1)).toBe(step);
  nowMs += 60_000;
  listen(step);
  expect(told.slice(61)).toEqual([
    {
      type: 'warning',
      message: 'workers come and go: 470 more joined and 470 more were lost than were told of',
    },
    step,
  ]);
  // And from the beginning again.
  listen(lost);
  expect(told.at(-1)).toBe(lost);
});
