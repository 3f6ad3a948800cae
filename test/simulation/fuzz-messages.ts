import { encodeFrame, encodeHead, sealPayload } from '../../shared/protocol/frame.js';
import type { Random } from '../../shared/random.js';

export interface Sent {
  readonly message: Readonly<Record<string, unknown>>;
  readonly payload: readonly Uint8Array[];
}

export interface Envelope {
  readonly run: string;
  readonly term: number;
  readonly incarnation: number;
}

const odd: readonly unknown[] = [
  ...[-1, 0, 1, 3, 2 ** 31, 2 ** 53, 1e300, 0.5, Number.NaN, Number.POSITIVE_INFINITY, true, null],
  ...['', 'x', '__proto__', 'train', 'x'.repeat(5_000), [], [[]], {}, { type: 'ready' }, [1, 2, 3]],
];

function oneOf<T>(random: Random, list: readonly T[]): T {
  return list[random.below(list.length)];
}

/** A copy in which one field, at any depth, is gone, odd, or has a companion. */
export function mutated(random: Random, value: unknown): unknown {
  if (typeof value !== 'object' || value === null || random.next() < 0.2) return oneOf(random, odd);
  if (Array.isArray(value)) {
    const copy = [...value];
    const at = random.below(copy.length + 1);
    const kind = random.below(5);
    if (at === copy.length || kind === 0) copy.push(oneOf(random, odd));
    else if (kind === 1) copy.splice(at, 1);
    else copy[at] = mutated(random, copy[at]);
    return copy;
  }
  const copy: Record<string, unknown> = { ...value };
  const keys = Object.keys(copy);
  if (keys.length === 0 || random.next() < 0.1) return { ...copy, extra: oneOf(random, odd) };
  const key = oneOf(random, keys);
  if (random.next() < 0.15) delete copy[key];
  else copy[key] = mutated(random, copy[key]);
  return copy;
}

function randomBytes(random: Random, most: number): Uint8Array {
  return Uint8Array.from({ length: random.below(most) }, () => random.below(256));
}

/** Bits flipped, bytes cut off, added or repeated. */
export function damaged(random: Random, pieces: readonly Uint8Array[]): Uint8Array[] {
  const whole = new Uint8Array(Buffer.concat(pieces));
  switch (random.below(5)) {
    case 0:
      return [whole.subarray(0, random.below(whole.byteLength + 1))];
    case 1:
      return [whole, randomBytes(random, 32)];
    case 2:
      return [...pieces, ...pieces];
    case 3: {
      const cut = random.below(whole.byteLength + 1);
      return [whole.subarray(0, cut), whole.subarray(cut)];
    }
    default:
      for (let flips = 1 + random.below(4); flips > 0; flips--) {
        whole[random.below(whole.byteLength)] ^= 1 << random.below(8);
      }
      return [whole];
  }
}

/** One thing that a peer may send: bytes of no meaning, a damaged frame, a wrong or odd message, or a valid one. */
export function anyPieces(random: Random, envelope: Envelope, corpus: readonly Sent[]): Uint8Array[] {
  const { message, payload } = oneOf(random, corpus);
  const kind = random.below(24);
  if (kind === 0) return [randomBytes(random, 64)];
  if (kind === 1) return encodeFrame({ body: oneOf(random, odd) }, [...payload]);
  if (kind === 2) {
    const place = { number: random.below(50), offset: random.next() < 0.9 ? 4_096 : random.below(2 ** 30) };
    return [encodeHead({ ...envelope, message }, sealPayload([...payload]), place)];
  }
  if (kind < 5) return damaged(random, encodeFrame({ ...envelope, message }, [...payload]));
  if (kind < 7) {
    const wrong = { run: 'another', term: random.below(9), incarnation: random.below(1_000) };
    const field = oneOf(random, Object.keys(wrong) as (keyof Envelope)[]);
    return encodeFrame({ ...envelope, [field]: wrong[field], message }, [...payload]);
  }
  if (kind === 7) return encodeFrame({ ...envelope, message }, [randomBytes(random, 200)]);
  if (kind < 13) return encodeFrame({ ...envelope, message: mutated(random, message) }, [...payload]);
  return encodeFrame({ ...envelope, message }, [...payload]);
}
