import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { CloseCode } from '../../shared/transport/connection.js';
import {
  type Order,
  transition,
  type WorkerEffect,
  type WorkerInput,
  type WorkerState,
} from '../../worker/core/machine.js';

function play(...inputs: WorkerInput[]): { state: WorkerState; effects: WorkerEffect[] } {
  let state: WorkerState = { phase: 'connecting' };
  const all: WorkerEffect[] = [];
  for (const input of inputs) {
    const [next, effects] = transition(state, input);
    state = next;
    all.push(...effects);
  }
  return { state, effects: all };
}

const connected: WorkerInput = { type: 'connected' };
const order = (round: number, lo = 0, hi = 2): Order => ({ round, lo, hi });
const ordered = (round: number, lo = 0, hi = 2): WorkerInput => ({
  type: 'ordered',
  order: order(round, lo, hi),
});
const finished = (round: number, lo = 0, hi = 2): WorkerInput => ({
  type: 'finished',
  order: order(round, lo, hi),
});

const closed = (code: CloseCode, by: 'us' | 'peer' | 'network'): WorkerInput => ({
  type: 'closed',
  info: { code, reason: `because of ${code}`, by },
});

describe('a worker', () => {
  it('is idle once it is connected, computes what it is ordered, and is idle again', () => {
    expect(play(connected).state).toEqual({ phase: 'idle' });
    expect(play(connected, ordered(1)).state).toEqual({ phase: 'computing', orders: [order(1)] });
    expect(play(connected, ordered(1), finished(1)).state).toEqual({ phase: 'idle' });
  });

  it('keeps orders in the order they came, until each is finished', () => {
    const { state } = play(connected, ordered(1), ordered(1, 4, 6), ordered(2), finished(1));
    expect(state).toEqual({ phase: 'computing', orders: [order(1, 4, 6), order(2)] });
  });

  it('forgets the orders of a round that is cancelled', () => {
    const { state } = play(connected, ordered(1), ordered(2), ordered(1, 4, 6), {
      type: 'cancelled',
      round: 1,
    });
    expect(state).toEqual({ phase: 'computing', orders: [order(2)] });
    expect(play(connected, ordered(1), { type: 'cancelled', round: 1 }).state).toEqual({ phase: 'idle' });
  });

  it('says goodbye at once when it is asked to leave and is idle', () => {
    expect(play(connected, { type: 'leave', reason: 'SIGTERM' })).toEqual({
      state: { phase: 'stopped', ending: { how: 'left', reason: 'SIGTERM' } },
      effects: [
        { type: 'say-goodbye', reason: 'SIGTERM' },
        { type: 'stop', ending: { how: 'left', reason: 'SIGTERM' } },
      ],
    });
  });

  it('finishes the order it computes before it leaves, and takes no others', () => {
    const leaving = play(connected, ordered(1), ordered(2), { type: 'leave', reason: 'SIGTERM' }, ordered(3));
    expect(leaving).toEqual({
      state: { phase: 'draining', last: order(1), reason: 'SIGTERM' },
      effects: [],
    });
    const [other] = transition(leaving.state, finished(2));
    expect(other.phase).toBe('draining');
    const [state, effects] = transition(leaving.state, finished(1));
    expect(state).toEqual({ phase: 'stopped', ending: { how: 'left', reason: 'SIGTERM' } });
    expect(effects.map(({ type }) => type)).toEqual(['say-goodbye', 'stop']);
  });

  it('does not wait for a cancelled order when it leaves', () => {
    const { state } = play(
      connected,
      ordered(1),
      { type: 'leave', reason: 'SIGTERM' },
      { type: 'cancelled', round: 1 },
      finished(1),
    );
    expect(state.phase).toBe('stopped');
  });

  it.each([
    ['the coordinator says goodbye', { type: 'dismissed' as const, reason: 'done' }, 'dismissed'],
    ['the connection breaks', closed('lost', 'network'), 'lost'],
    ['the thread breaks', { type: 'broken' as const, reason: 'exit 1' }, 'broken'],
  ])('stops at once when %s, in the middle of an order too', (_when, input, how) => {
    for (const before of [[], [ordered(1)], [ordered(1), { type: 'leave' as const, reason: 'x' }]]) {
      const { state, effects } = play(connected, ...before, input);
      expect(state).toMatchObject({ phase: 'stopped', ending: { how } });
      expect(effects).toEqual([{ type: 'stop', ending: expect.objectContaining({ how }) }]);
    }
  });

  it.each([
    ['goodbye', 'dismissed'],
    ['fingerprint_mismatch', 'refused'],
    ['failed', 'refused'],
    // It was thought to be gone, or something it sent was broken on the way: it may come back.
    ['silent', 'lost'],
    ['checksum', 'lost'],
    ['malformed', 'lost'],
    ['lost', 'lost'],
  ] as const)('takes a connection that the coordinator closed with %s as %s', (code, how) => {
    expect(play(connected, closed(code, 'peer')).state).toMatchObject({ phase: 'stopped', ending: { how } });
  });

  it('takes what it closed itself as lost, whatever the reason', () => {
    for (const code of ['checksum', 'stale_incarnation', 'silent', 'failed'] as const) {
      expect(play(connected, closed(code, 'us')).state).toMatchObject({ ending: { how: 'lost' } });
    }
  });

  it('stops once, whatever happens', () => {
    const orders = fc.record({ round: fc.nat(2), lo: fc.nat(2), hi: fc.nat(4) });
    const reason = fc.constant('r');
    const input: fc.Arbitrary<WorkerInput> = fc.oneof(
      fc.constant(connected),
      fc.record({ type: fc.constantFrom('ordered' as const, 'finished' as const), order: orders }),
      fc.record({ type: fc.constant('cancelled' as const), round: fc.nat(2) }),
      fc.record({ type: fc.constantFrom('leave' as const, 'dismissed' as const, 'broken' as const), reason }),
      fc.constantFrom(closed('lost', 'network'), closed('goodbye', 'peer'), closed('failed', 'peer')),
    );
    fc.assert(
      fc.property(fc.array(input, { maxLength: 30 }), (inputs) => {
        const { state, effects } = play(connected, ...inputs);
        const stops = effects.filter(({ type }) => type === 'stop').length;
        expect(stops).toBe(state.phase === 'stopped' ? 1 : 0);
        expect(effects.filter(({ type }) => type === 'say-goodbye').length).toBeLessThanOrEqual(stops);
      }),
    );
  });
});
