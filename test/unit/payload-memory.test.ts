import { closeSync, openSync, rmSync, writeSync } from 'node:fs';
import { mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { PayloadPlace } from '../../shared/protocol/frame.js';
import { IncomingPayloads, OutgoingPayloads } from '../../shared/transport/payload-memory.js';
import { SharedMemory } from '../../shared/transport/shared-memory.js';

/** The reader's page, before the payloads. */
const page = 4_096;
const plenty = 2 ** 20;

let folder: string;
let files = 0;
const opened: number[] = [];
let descriptor: number;
let outgoing: OutgoingPayloads;
let incoming: IncomingPayloads;

/** A file that both sides use; what they do is the same wherever it lies. */
function open(path = join(folder, String(files++)), flags = 'wx+'): number {
  const own = openSync(path, flags);
  opened.push(own);
  return own;
}

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'lockstep-memory-'));
});
afterAll(() => rmSync(folder, { recursive: true }));
beforeEach(() => {
  descriptor = open();
  outgoing = new OutgoingPayloads(descriptor);
  incoming = new IncomingPayloads(descriptor);
});
afterEach(() => {
  for (const own of opened.splice(0)) closeSync(own);
});

function put(bytes: Uint8Array, maxBytes = plenty): PayloadPlace {
  const place = outgoing.put([bytes], bytes.byteLength, maxBytes);
  if (place === null) throw new RangeError('no room');
  return place;
}

const filled = (bytes: number, value: number): Uint8Array => new Uint8Array(bytes).fill(value);

describe('payloads in shared memory', () => {
  it('come out as they were put, in any interleaving, however many pieces they were, and within the bound', () => {
    const payload = fc.array(fc.uint8Array({ minLength: 1, maxLength: 300 }), { minLength: 1, maxLength: 5 });
    const act = fc.oneof(fc.record({ put: payload }), fc.constant('take' as const));
    fc.assert(
      fc.property(fc.array(act, { maxLength: 60 }), fc.integer({ min: 0, max: 3_000 }), (acts, maxBytes) => {
        const own = open();
        const [writer, reader] = [new OutgoingPayloads(own), new IncomingPayloads(own)];
        const unread: { place: PayloadPlace; bytes: Buffer }[] = [];
        const takeOne = (): void => {
          const next = unread.shift();
          if (next === undefined) return;
          const taken = reader.take(next.place, next.bytes.byteLength);
          expect(taken).not.toBeNull();
          expect(Buffer.compare(taken ?? new Uint8Array(), next.bytes)).toBe(0);
        };
        for (const one of acts) {
          if (one === 'take') takeOne();
          else {
            const bytes = Buffer.concat(one.put);
            const place = writer.put(one.put, bytes.byteLength, maxBytes);
            if (place !== null) unread.push({ place, bytes });
            else expect(unread.length > 0 || bytes.byteLength > maxBytes).toBe(true);
          }
          expect(writer.fileBytes).toBeLessThanOrEqual(page + maxBytes);
        }
        while (unread.length > 0) takeOne();
      }),
      { numRuns: 200 },
    );
  });

  it('are alone in their buffer', () => {
    const taken = incoming.take(put(filled(1_000, 7)), 1_000);
    expect(taken).toMatchObject({ byteOffset: 0, byteLength: 1_000 });
    expect(taken?.buffer.byteLength).toBe(1_000);
  });

  it('lie at the beginning of the file again once all are read', () => {
    const first = put(filled(1_000, 1));
    expect(put(filled(1_000, 2)).offset).toBe(first.offset + 1_000);
    incoming.take(first, 1_000);
    expect(put(filled(900, 3)).offset).toBe(first.offset);
  });

  it('find no room beyond the bound, and find it again when what was before is read', () => {
    const first = put(filled(600, 1), 1_000);
    expect(outgoing.put([filled(600, 2)], 600, 1_000)).toBeNull();
    expect(incoming.take(first, 600)).toEqual(Buffer.alloc(600, 1));
    expect(put(filled(600, 2), 1_000).offset).toBe(first.offset);
  });

  it('find no room when 64 are unread', () => {
    for (let i = 0; i < 64; i++) put(filled(8, i));
    expect(outgoing.put([filled(8, 65)], 8, plenty)).toBeNull();
  });

  it('find no room on a device that is full, and it is not asked again', () => {
    const full = new OutgoingPayloads(open('/dev/full', 'r+'));
    expect(full.put([filled(5_000, 1)], 5_000, plenty)).toBeNull();
    expect(full.put([filled(1_000, 1)], 1_000, plenty)).toBeNull();
  });

  it('keep the room that they had, and nothing beyond it, once the memory has not sufficed', () => {
    incoming.take(put(filled(1_000, 1)), 1_000);
    // Half of it was written, as by a device that is full.
    expect(outgoing.put([filled(600, 2), filled(600, 2)], 2_400, plenty)).toBeNull();
    expect(outgoing.fileBytes).toBe(page + 1_000);
    expect(outgoing.put([filled(1_001, 3)], 1_001, plenty)).toBeNull();
    expect(incoming.take(put(filled(1_000, 4)), 1_000)).toEqual(Buffer.alloc(1_000, 4));
  });

  it('are taken once, and in order', () => {
    const places = [put(filled(100, 1)), put(filled(100, 2))];
    expect(incoming.take(places[1], 100)).toEqual(Buffer.alloc(100, 2));
    expect(incoming.take(places[1], 100)).toBeNull();
    expect(incoming.take(places[0], 100)).toBeNull();
  });

  it('are not looked for outside the file, nor where the reader writes', () => {
    put(filled(1_000, 1));
    expect(incoming.take({ number: 1, offset: page - 8 }, 100)).toBeNull();
    expect(incoming.take({ number: 1, offset: page + 500 }, 501)).toBeNull();
    expect(incoming.take({ number: 1, offset: 2 ** 52 }, 8)).toBeNull();
    expect(incoming.take({ number: 1, offset: page }, 2 ** 40)).toBeNull();
    expect(incoming.take({ number: 1, offset: page }, 1_000)).toEqual(Buffer.alloc(1_000, 1));
  });

  it('are neither put nor taken once the memory is closed: its descriptor may be another file then', () => {
    const place = put(filled(100, 1));
    outgoing.close();
    incoming.close();
    expect(outgoing.put([filled(100, 1)], 100, plenty)).toBeNull();
    expect(incoming.take(place, 100)).toBeNull();
  });

  it('stay as they are while the reader says nothing, and when half of what it says is written', () => {
    const place = put(filled(100, 1));
    writeSync(descriptor, BigUint64Array.of(1n, 0n), 0, 16, 0);
    expect(put(filled(100, 2)).offset).toBe(place.offset + 100);
    writeSync(descriptor, BigUint64Array.of(1n, 1n), 0, 16, 0);
    expect(put(filled(100, 3)).offset).toBe(place.offset);
  });
});

describe('memory that one connection after the other uses', () => {
  /** The coordinator's end and the worker's. */
  function pair(): [SharedMemory, SharedMemory] {
    const [there, back] = [open(), open()];
    return [
      new SharedMemory({ incoming: back, outgoing: there }),
      new SharedMemory({ incoming: there, outgoing: back }),
    ];
  }
  const payload = filled(2_000, 5);

  it('is used by the end that waits once the other has begun', () => {
    const [ours, theirs] = pair();
    const [a, b] = [ours.lineFor({ begins: true }), theirs.lineFor({ begins: false })];
    expect(b.put([payload], 2_000, plenty)).toBeNull();
    const place = a.put([payload], 2_000, plenty);
    expect(place !== null && b.take(place, 2_000)).toEqual(Buffer.from(payload));
    expect(b.put([payload], 2_000, plenty)).not.toBeNull();
  });

  it('is for payloads that are worth it', () => {
    const a = pair()[0].lineFor({ begins: true });
    expect(a.put([filled(1_023, 1)], 1_023, plenty)).toBeNull();
    expect(a.put([filled(1_024, 1)], 1_024, plenty)).not.toBeNull();
  });

  it('gives the next connection all the room, and the one before nothing more', () => {
    const [ours, theirs] = pair();
    const before = ours.lineFor({ begins: true });
    const late = before.put([payload], 2_000, 2_000);
    const heard = theirs.lineFor({ begins: false });
    const after = ours.lineFor({ begins: true });
    expect(before.put([payload], 2_000, 4_000)).toBeNull();
    const place = after.put([payload], 2_000, 2_000);
    const listening = theirs.lineFor({ begins: false });
    expect(late !== null && heard.take(late, 2_000)).toBeNull();
    expect(place !== null && listening.take(place, 2_000)).toEqual(Buffer.from(payload));
    // A frame that comes late by the same connection names a payload that is gone.
    expect(late !== null && listening.take(late, 2_000)).toBeNull();
  });
});
