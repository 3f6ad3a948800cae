import { describe, expect, it } from 'vitest';
import { decide, type Presence, type PresenceDecision, setOut } from '../../worker/core/rejoin.js';

const limits = { joinMs: 60_000, rejoinMs: 600_000 };

/** Attempts that all fail, until the worker gives up: when each was made. */
function attempts(
  presence: Presence,
  first: PresenceDecision,
  fromMs: number,
  own = limits,
): { atMs: number[]; gaveUpMs: number } {
  const atMs: number[] = [];
  let nowMs = fromMs;
  let state = presence;
  let decision = first;
  while (decision.next === 'retry') {
    nowMs += decision.delayMs;
    atMs.push(nowMs);
    [state, decision] = decide(state, { type: 'missed' }, nowMs, own);
  }
  return { atMs, gaveUpMs: nowMs };
}

/** A worker that joined at 0 and lost its connection at `lostMs`. */
function lose(lostMs: number, own = limits): readonly [Presence, PresenceDecision] {
  const [here] = decide(setOut(0, own), { type: 'joined' }, 0, own);
  return decide(here, { type: 'lost' }, lostMs, own);
}

describe('a worker that lost its connection', () => {
  it('is back at most a quarter later than the coordinator, or ten seconds', () => {
    const [away, first] = lose(3_600_000);
    const { atMs } = attempts(away, first, 3_600_000);
    for (const backMs of [50, 1_000, 3_000, 20_000, 120_000, 500_000]) {
      const attempt = atMs.find((time) => time - 3_600_000 >= backMs) ?? Number.POSITIVE_INFINITY;
      const lateMs = attempt - 3_600_000 - backMs;
      expect(lateMs).toBeLessThanOrEqual(Math.min(Math.max(backMs / 4, 100), 10_000));
    }
    // And it does not hammer: a coordinator that is away for ten minutes is asked some eighty times.
    expect(atMs.length).toBeLessThan(100);
  });

  it('gives up after as long as it was told', () => {
    const [away, first] = lose(50_000);
    const { gaveUpMs } = attempts(away, first, 50_000);
    expect(gaveUpMs).toBeLessThanOrEqual(50_000 + limits.rejoinMs);
    expect(gaveUpMs).toBeGreaterThan(50_000 + limits.rejoinMs - 10_001);
  });

  it('gives up at once when it was told not to come back', () => {
    expect(lose(50_000, { ...limits, rejoinMs: 0 })[1]).toEqual({ next: 'give-up' });
  });

  it('never gives up when it was told so', () => {
    const own = { ...limits, rejoinMs: Number.POSITIVE_INFINITY };
    let [state, decision] = lose(50_000, own);
    for (let nowMs = 50_000; nowMs < 1e9; nowMs += 1e6) {
      [state, decision] = decide(state, { type: 'missed' }, nowMs, own);
      expect(decision.next).toBe('retry');
    }
  });

  it('counts no time that it was connected: a coordinator that is killed soon again is not waited for longer', () => {
    // Joined for 9 s, then 2 s away, three times: 2, 4 and 6 s away in all.
    const delays: number[] = [];
    let [state, decision] = lose(9_000);
    for (let lostMs = 9_000; lostMs <= 31_000; lostMs += 11_000) {
      [, decision] = decide(state, { type: 'missed' }, lostMs + 2_000, limits);
      delays.push(decision.next === 'retry' ? decision.delayMs : Number.NaN);
      [state] = decide(state, { type: 'joined' }, lostMs + 2_000, limits);
      [state] = decide(state, { type: 'lost' }, lostMs + 11_000, limits);
    }
    expect(delays).toEqual([500, 1_000, 1_500]);
  });

  it('slows down when each new connection is lost as well', () => {
    let [state, decision] = lose(20_000);
    let nowMs = 20_000;
    const delays: number[] = [];
    for (let i = 0; i < 40 && decision.next === 'retry'; i++) {
      delays.push(decision.delayMs);
      nowMs += decision.delayMs;
      [state] = decide(state, { type: 'joined' }, nowMs, limits);
      [state, decision] = decide(state, { type: 'lost' }, nowMs, limits);
    }
    expect(delays[0]).toBe(100);
    expect(delays[delays.length - 1]).toBe(10_000);
    // A connection that lasts makes the next loss an ordinary one.
    [state] = decide(state, { type: 'joined' }, nowMs, limits);
    [state, decision] = decide(state, { type: 'lost' }, nowMs + 10_000, limits);
    expect(decision).toEqual({ next: 'retry', delayMs: 100 });
  });
});

it('a worker that never found its coordinator gives up after joinMs', () => {
  const [state, first] = decide(setOut(0, limits), { type: 'missed' }, 0, limits);
  const { gaveUpMs } = attempts(state, first, 0);
  expect(gaveUpMs).toBeLessThanOrEqual(limits.joinMs);
  expect(gaveUpMs).toBeGreaterThan(limits.joinMs - 10_001);
});
