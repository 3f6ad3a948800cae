import { assertNever } from '../shared/errors.js';
import type { Random } from '../shared/random.js';

/*
 * What a broken network does to one direction of a connection, decided without sockets: bytes in, bytes and events
 * out, the same for the same seed. Positions count the bytes of the direction from the beginning of the connection.
 */

/** What happens, once, when the byte at position `at` comes; at the next byte if that one has gone. */
export type StreamRule = { readonly at: number } & (
  | { readonly type: 'delay'; readonly ms: number; readonly forMs: number }
  /** From here on no more than so many bytes a second, for `forMs`. */
  | { readonly type: 'throttle'; readonly bytesPerSecond: number; readonly forMs: number }
  /** Flips `bits` different bits: of the byte at `at` if `exactly`, else anywhere in the rest of its chunk. */
  | { readonly type: 'corrupt'; readonly bits: number; readonly exactly: boolean }
  /** The rest of the chunk comes twice. */
  | { readonly type: 'duplicate' }
  /** Nothing more goes through, not even the news that a side has closed, until the direction is released. */
  | { readonly type: 'hold' }
  /** The direction is closed in good order (FIN); the other one goes on. */
  | { readonly type: 'end' }
  /** The connection is reset, both ways. */
  | { readonly type: 'reset' }
);

export type StreamEvent =
  | { readonly type: 'send'; readonly bytes: Uint8Array; readonly dueMs: number }
  /** A rule came into effect at `position`. */
  | { readonly type: 'struck'; readonly rule: StreamRule; readonly position: number }
  /** `rest` is not decided yet: it comes again once the direction is released. */
  | { readonly type: 'hold'; readonly rest: Uint8Array }
  | { readonly type: 'end' }
  | { readonly type: 'reset' };

/** A delay or throttle that holds now. */
interface Pace {
  readonly delayMs: number;
  readonly msPerByte: number;
  readonly untilMs: number;
}

export interface StreamState {
  /** Bytes that were decided on. */
  readonly position: number;
  /** Those that have not struck. */
  readonly rules: readonly StreamRule[];
  readonly paces: readonly Pace[];
  /** When the last byte that was let through is due: order is kept, whatever changes. */
  readonly lastDueMs: number;
}

export const newStream: StreamState = { position: 0, rules: [], paces: [], lastDueMs: 0 };

/** Decides about the next bytes of a direction: about all of them, or up to a `hold`, `end` or `reset`. */
export function decide(
  state: StreamState,
  chunk: Uint8Array,
  nowMs: number,
  random: Random,
): readonly [StreamState, readonly StreamEvent[]] {
  const events: StreamEvent[] = [];
  let stream = { ...state, paces: state.paces.filter(({ untilMs }) => nowMs < untilMs) };
  let rest = chunk;
  const pass = (bytes: Uint8Array): void => {
    if (bytes.byteLength === 0) return;
    const dueMs = dueAt(stream, bytes.byteLength, nowMs);
    events.push({ type: 'send', bytes, dueMs });
    stream = { ...stream, position: stream.position + bytes.byteLength, lastDueMs: dueMs };
    rest = rest.subarray(bytes.byteLength);
  };
  while (rest.byteLength > 0) {
    const rule = nextRule(stream, rest.byteLength);
    if (rule === null) {
      pass(rest);
      break;
    }
    pass(rest.subarray(0, Math.max(0, rule.at - stream.position)));
    events.push({ type: 'struck', rule, position: stream.position });
    stream = { ...stream, rules: stream.rules.filter((other) => other !== rule) };
    switch (rule.type) {
      case 'delay':
      case 'throttle': {
        const delayMs = rule.type === 'delay' ? rule.ms : 0;
        const msPerByte = rule.type === 'throttle' ? 1_000 / rule.bytesPerSecond : 0;
        stream = { ...stream, paces: [...stream.paces, { delayMs, msPerByte, untilMs: nowMs + rule.forMs }] };
        break;
      }
      case 'corrupt':
        rest = flipped(rest, rule, random);
        break;
      case 'duplicate':
        // The second copy is no part of what the sender sent: positions count that alone.
        events.push({ type: 'send', bytes: rest, dueMs: dueAt(stream, rest.byteLength, nowMs) });
        break;
      case 'hold':
        events.push({ type: 'hold', rest });
        return [stream, events];
      case 'end':
      case 'reset':
        events.push({ type: rule.type });
        return [stream, events];
      default:
        assertNever(rule);
    }
  }
  return [stream, events];
}

/** The first rule that strikes within the next `bytes` bytes. */
function nextRule({ rules, position }: StreamState, bytes: number): StreamRule | null {
  const due = rules.filter(({ at }) => at < position + bytes);
  return due.reduce<StreamRule | null>(
    (first, rule) => (first === null || rule.at < first.at ? rule : first),
    null,
  );
}

function dueAt({ paces, lastDueMs }: StreamState, bytes: number, nowMs: number): number {
  const delayMs = Math.max(0, ...paces.map((pace) => pace.delayMs));
  const msPerByte = Math.max(0, ...paces.map((pace) => pace.msPerByte));
  return Math.max(nowMs + delayMs, lastDueMs) + bytes * msPerByte;
}

/** A copy with some bits flipped, each another one. */
function flipped(
  bytes: Uint8Array,
  { bits, exactly }: Extract<StreamRule, { type: 'corrupt' }>,
  random: Random,
): Uint8Array {
  const copy = Uint8Array.from(bytes);
  const choices = 8 * (exactly ? 1 : copy.byteLength);
  const chosen = new Set<number>();
  while (chosen.size < Math.min(bits, choices)) chosen.add(random.below(choices));
  for (const bit of chosen) copy[bit >> 3] ^= 1 << (bit & 7);
  return copy;
}
