import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { decide, newStream, type StreamEvent, type StreamRule } from '../../chaos/stream.js';
import { Random } from '../../shared/random.js';

const bytes = (...values: number[]): Uint8Array => Uint8Array.from(values);
const counting = (length: number): Uint8Array => Uint8Array.from({ length }, (_, i) => i);

/** Decides about chunks one after another, 10 ms apart. */
function flow(rules: readonly StreamRule[], chunks: readonly Uint8Array[], seed = 1) {
  let stream = { ...newStream, rules };
  const random = new Random(seed);
  const events: StreamEvent[] = [];
  chunks.forEach((chunk, i) => {
    const [next, more] = decide(stream, chunk, 10 * i, random);
    stream = { ...next, rules: [...next.rules] };
    events.push(...more);
  });
  return { stream, events };
}

const sent = (events: readonly StreamEvent[]): number[] =>
  events.flatMap((event) => (event.type === 'send' ? [...event.bytes] : []));
const typesOf = (events: readonly StreamEvent[]): string[] => events.map(({ type }) => type);

function differingBits(a: readonly number[], b: readonly number[]): number {
  let count = 0;
  a.forEach((byte, i) => {
    for (let x = byte ^ b[i]; x > 0; x &= x - 1) count += 1;
  });
  return count;
}

describe('a direction of a connection', () => {
  it('without rules hands everything on at once, in order', () => {
    const { events, stream } = flow([], [bytes(1, 2), bytes(3)]);
    expect(events).toEqual([
      { type: 'send', bytes: bytes(1, 2), dueMs: 0 },
      { type: 'send', bytes: bytes(3), dueMs: 10 },
    ]);
    expect(stream.position).toBe(3);
  });

  it('is held at exactly the byte that the rule names, and keeps the rest', () => {
    const { events } = flow([{ type: 'hold', at: 3 }], [bytes(1, 2), bytes(3, 4, 5)]);
    expect(sent(events)).toEqual([1, 2, 3]);
    expect(events.at(-1)).toEqual({ type: 'hold', rest: bytes(4, 5) });
    expect(events.at(-2)).toMatchObject({ type: 'struck', position: 3 });
  });

  it('strikes at the next byte when the named one has gone', () => {
    const gone = { ...newStream, position: 100, rules: [{ type: 'reset', at: 7 } as const] };
    const [, events] = decide(gone, bytes(1), 0, new Random(1));
    expect(typesOf(events)).toEqual(['struck', 'reset']);
    expect(events[0]).toMatchObject({ position: 100 });
  });

  it.each([
    ['end', ['send', 'struck', 'end']],
    ['reset', ['send', 'struck', 'reset']],
  ] as const)('comes to its %s after the bytes before the place', (type, expected) => {
    const { events } = flow([{ type, at: 2 }], [bytes(1, 2, 3)]);
    expect(typesOf(events)).toEqual(expected);
    expect(sent(events)).toEqual([1, 2]);
  });

  it('flips as many bits as asked, at or after the place, once, and leaves the sender’s bytes alone', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 16 }), fc.nat(63), fc.nat(), (bits, at, seed) => {
        const chunk = counting(128);
        const { events } = flow([{ type: 'corrupt', at, bits, exactly: false }], [chunk, counting(64)], seed);
        const arrived = sent(events);
        expect(chunk).toEqual(counting(128));
        expect(arrived.slice(0, at)).toEqual([...counting(128)].slice(0, at));
        expect(arrived.slice(128)).toEqual([...counting(64)]);
        expect(differingBits(arrived, [...counting(128), ...counting(64)])).toBe(bits);
      }),
    );
  });

  it('flips a bit of exactly the byte that was named', () => {
    const { events } = flow([{ type: 'corrupt', at: 5, bits: 1, exactly: true }], [counting(10)]);
    const wrong = sent(events).flatMap((byte, i) => (byte === i ? [] : [i]));
    expect(wrong).toEqual([5]);
  });

  it('repeats the rest of the chunk, and counts only what the sender sent', () => {
    const { events, stream } = flow([{ type: 'duplicate', at: 1 }], [bytes(1, 2, 3), bytes(4)]);
    expect(sent(events)).toEqual([1, 2, 3, 2, 3, 4]);
    expect(stream.position).toBe(4);
  });

  it('delays what comes from the place on, and keeps the order when the delay is over', () => {
    const rules: StreamRule[] = [{ type: 'delay', at: 1, ms: 50, forMs: 15 }];
    const { events } = flow(rules, [bytes(1, 2), bytes(3), bytes(4), bytes(5)]);
    const due = events.flatMap((event) => (event.type === 'send' ? [[...event.bytes, event.dueMs]] : []));
    // Byte 4 comes after the delay is over, but must not overtake byte 3.
    expect(due).toEqual([
      [1, 0],
      [2, 50],
      [3, 60],
      [4, 60],
      [5, 60],
    ]);
  });

  it('throttles to the bytes per second that the rule allows', () => {
    const rules: StreamRule[] = [{ type: 'throttle', at: 0, bytesPerSecond: 1_000, forMs: 1_000 }];
    const { events } = flow(rules, [counting(100), counting(50)]);
    const due = events.flatMap((event) => (event.type === 'send' ? [event.dueMs] : []));
    expect(due).toEqual([100, 150]);
  });

  it('loses, adds and reorders nothing under delays, throttles and holds, whatever the chunks', () => {
    const rule = fc.oneof(
      fc.record({ type: fc.constant('delay' as const), at: fc.nat(300), ms: fc.nat(50), forMs: fc.nat(50) }),
      fc.record({
        type: fc.constant('throttle' as const),
        at: fc.nat(300),
        bytesPerSecond: fc.integer({ min: 1, max: 1_000 }),
        forMs: fc.nat(50),
      }),
      fc.record({ type: fc.constant('hold' as const), at: fc.nat(300) }),
    );
    const chunk = fc.uint8Array({ minLength: 1, maxLength: 60 });
    fc.assert(
      fc.property(fc.array(rule, { maxLength: 4 }), fc.array(chunk, { maxLength: 8 }), (rules, chunks) => {
        let stream = { ...newStream, rules: rules as readonly StreamRule[] };
        const arrived: number[] = [];
        let lastDueMs = 0;
        const waiting: Uint8Array[] = [...chunks];
        for (let nowMs = 0; waiting.length > 0; nowMs += 5) {
          const [next, events] = decide(stream, waiting.shift() as Uint8Array, nowMs, new Random(1));
          stream = { ...next, rules: next.rules };
          for (const event of events) {
            if (event.type === 'hold') waiting.unshift(event.rest);
            if (event.type !== 'send') continue;
            expect(event.dueMs).toBeGreaterThanOrEqual(lastDueMs);
            lastDueMs = event.dueMs;
            arrived.push(...event.bytes);
          }
        }
        expect(arrived).toEqual(chunks.flatMap((one) => [...one]));
      }),
    );
  });
});
