import { crc32 } from 'node:zlib';
import fc from 'fast-check';
import { Packr } from 'msgpackr';
import { describe, expect, it } from 'vitest';
import { checksumOf } from '../../shared/protocol/checksum.js';
import {
  type Decoded,
  encodeFrame,
  encodeHead,
  FrameDecoder,
  headOverheadBytes,
  sealPayload,
} from '../../shared/protocol/frame.js';
import { isPlainMsgpack } from '../../shared/protocol/plain-msgpack.js';

const limits = { maxHeaderBytes: 4_096, maxPayloadBytes: 65_536 };

/** Plain data without -0, which MessagePack's integers do not have, and without the name of the prototype. */
const json = fc
  .dictionary(fc.string(), fc.jsonValue({ maxDepth: 4, noUnicodeString: false }))
  .map((value): object => JSON.parse(JSON.stringify(value).replaceAll('__proto__', 'proto')));

const bytes = fc.uint8Array({ maxLength: 600 });

function joined(pieces: readonly Uint8Array[]): Uint8Array {
  return new Uint8Array(Buffer.concat(pieces));
}

/** The head as given, then the rest cut anywhere: the cuts a transport may make. */
function pushAll(pieces: readonly Uint8Array[]): Decoded {
  const decoder = new FrameDecoder(limits);
  let last: Decoded = { status: 'incomplete' };
  for (const piece of pieces) {
    last = decoder.push(piece);
    if (last.status === 'refused') return last;
  }
  return last;
}

/** A frame whose header was written by hand. */
function frameOf(header: Uint8Array, payload = new Uint8Array(0), announced = header.byteLength): Uint8Array {
  const head = new Uint8Array(Math.ceil((8 + header.byteLength) / 8) * 8);
  new DataView(head.buffer).setUint32(4, announced, true);
  head.set(header, 8);
  new DataView(head.buffer).setUint32(0, crc32(head.subarray(4)), true);
  return joined([head, payload]);
}

describe('a frame', () => {
  it('is a checksum, the length of the header, the header, zeros to a multiple of 8, the payload', () => {
    const payload = Uint8Array.of(1, 2, 3);
    const [head, ...rest] = encodeFrame({ a: 1 }, [payload]);
    const headerBytes = new DataView(head.buffer).getUint32(4, true);
    expect(head.byteLength).toBe(Math.ceil((8 + headerBytes) / 8) * 8);
    expect(new DataView(head.buffer).getUint32(0, true)).toBe(crc32(head.subarray(4)));
    expect(head.subarray(8 + headerBytes).every((byte) => byte === 0)).toBe(true);
    expect(new Packr({ useRecords: false }).unpack(head.subarray(8, 8 + headerBytes))).toEqual({
      payloadBytes: 3,
      payloadCrc32: checksumOf([payload]),
      body: { a: 1 },
    });
    expect(rest).toHaveLength(1);
    expect(rest[0]).toBe(payload);
  });

  it('checks its payload with the CRC-32 of IEEE 802.3', () => {
    expect(checksumOf([Buffer.from('123456789')])).toBe(0xcbf43926);
    expect(checksumOf([Buffer.from('1234'), Buffer.from('56789')])).toBe(0xcbf43926);
  });

  it('comes out as it went in, however it is cut and wherever its pieces lie in memory', () => {
    fc.assert(
      fc.property(
        json,
        fc.array(bytes, { maxLength: 4 }),
        fc.array(fc.nat(600), { maxLength: 5 }),
        fc.nat(7),
        (body, payload, cuts, shift) => {
          const [head, ...rest] = encodeFrame(body, payload);
          const whole = joined([head, ...rest]);
          const ends = [...new Set(cuts.map((cut) => Math.min(head.byteLength + cut, whole.byteLength)))];
          ends.sort((a, b) => a - b);
          const bounds = [
            0,
            ...ends.filter((end) => end > head.byteLength && end < whole.byteLength),
            whole.byteLength,
          ];
          const pieces = bounds.slice(1).map((end, i) => {
            const piece = whole.subarray(bounds[i], end);
            const moved = new Uint8Array(piece.byteLength + 16).subarray(shift, shift + piece.byteLength);
            moved.set(piece);
            return moved;
          });
          const decoded = pushAll(pieces);
          expect(decoded).toEqual({ status: 'frame', body, payload: joined(payload) });
          if (decoded.status !== 'frame') return;
          expect(decoded.payload.byteOffset).toBe(0);
          expect(decoded.payload.buffer.byteLength).toBe(decoded.payload.byteLength);
        },
      ),
    );
  });

  it('is the same for a payload that was sealed before', () => {
    fc.assert(
      fc.property(json, fc.array(bytes, { maxLength: 4 }), (body, payload) => {
        expect(encodeFrame(body, sealPayload(payload))).toEqual(encodeFrame(body, payload));
        expect(pushAll(encodeFrame(body, sealPayload(payload)).slice(0, 1)).status).toBe(
          joined(payload).byteLength === 0 ? 'frame' : 'incomplete',
        );
      }),
    );
  });

  it('leaves out absent properties, as JSON does', () => {
    expect(pushAll(encodeFrame({ a: 1, b: undefined }))).toMatchObject({ body: { a: 1 } });
  });

  it('cannot hold a typed array, a date or a 64-bit integer', () => {
    for (const value of [new Float32Array(4), new Date(0), 2n ** 40n, new Uint8Array(3)]) {
      expect(() => encodeFrame({ value })).toThrow('not plain data');
    }
  });
});

describe('the decoder', () => {
  it('does not let a header reach the prototype of its objects', () => {
    const polluting = Buffer.from('81a95f5f70726f746f5f5f81a161c3', 'hex'); // {"__proto__": {"a": true}}
    expect(isPlainMsgpack(polluting)).toBe(true);
    const header = Buffer.concat([
      Buffer.from('83ac7061796c6f6164427974657300ac7061796c6f6164437263333200a4626f6479', 'hex'),
      polluting,
    ]);
    const decoded = pushAll([frameOf(header)]);
    expect(decoded.status).toBe('frame');
    if (decoded.status !== 'frame') return;
    expect(Object.getPrototypeOf(decoded.body)).toBe(Object.prototype);
    expect((decoded.body as { a?: boolean }).a).toBeUndefined();
  });

  const [head, payload] = encodeFrame({ type: 'x' }, [Uint8Array.of(1, 2, 3, 4)]);

  it('refuses a changed payload', () => {
    expect(pushAll([head, Uint8Array.of(1, 2, 3, 5)])).toMatchObject({ status: 'refused', code: 'checksum' });
  });

  it('waits for a payload that is cut off', () => {
    expect(pushAll([head, payload.subarray(0, 3)])).toEqual({ status: 'incomplete' });
  });

  it('refuses bytes beyond the payload, and a piece of nothing', () => {
    expect(pushAll([head, Uint8Array.of(1, 2, 3, 4, 5)])).toMatchObject({ code: 'malformed' });
    expect(pushAll([joined([head, payload, payload])])).toMatchObject({ code: 'malformed' });
    expect(pushAll([head, new Uint8Array(0)])).toMatchObject({ code: 'malformed' });
  });

  it('refuses a head that is cut off at any byte', () => {
    for (let end = 0; end < head.byteLength; end++) {
      expect(pushAll([head.subarray(0, end)])).toMatchObject({ status: 'refused', code: 'malformed' });
    }
  });

  it('refuses a header or a payload above the limit by its announcement alone', () => {
    const tooLong = frameOf(new Uint8Array(8), new Uint8Array(0), limits.maxHeaderBytes + 1);
    expect(pushAll([tooLong])).toMatchObject({ code: 'oversize' });
    const header = new Packr({ useRecords: false }).pack({
      payloadBytes: 2 ** 45,
      payloadCrc32: 0,
      body: {},
    });
    expect(pushAll([frameOf(header)])).toMatchObject({ code: 'oversize' });
  });

  it('refuses the extensions of msgpackr that build objects of other kinds', () => {
    for (const value of [
      /(a+)+$/,
      new Set([1]),
      new Date(0),
      new Map([[1, 2]]),
      new Float64Array(2),
      undefined,
    ]) {
      const header = new Packr({ useRecords: false, moreTypes: true }).pack({
        payloadBytes: 0,
        payloadCrc32: 0,
        body: { value },
      });
      expect(pushAll([frameOf(header)])).toMatchObject({ code: 'malformed' });
    }
    const records = new Packr({ structures: [] }).pack({ payloadBytes: 0, payloadCrc32: 0, body: { a: 1 } });
    expect(pushAll([frameOf(records)])).toMatchObject({ code: 'malformed' });
  });

  it('gives a coded refusal, never an error, for any bytes', () => {
    const anyBytes = fc.uint8Array({ maxLength: 300 });
    fc.assert(
      fc.property(fc.array(anyBytes, { maxLength: 6 }), (pieces) => {
        expect(['refused', 'incomplete', 'frame']).toContain(pushAll(pieces).status);
      }),
      { numRuns: 300 },
    );
    fc.assert(
      fc.property(anyBytes, (header) => {
        expect(pushAll([frameOf(header)]).status).toBe('refused');
      }),
      { numRuns: 300 },
    );
  });

  it('refuses a frame in which any one bit has flipped, wherever it is', () => {
    const frame = encodeFrame({ type: 'data', list: [1, 'two', { three: 3.5 }] }, [new Uint8Array(16)]);
    const whole = joined(frame);
    for (let bit = 0; bit < whole.byteLength * 8; bit++) {
      const broken = whole.slice();
      broken[bit >> 3] ^= 1 << (bit & 7);
      expect(pushAll([broken]).status).toBe('refused');
      // Where the length is as it was, it is the checksum that tells.
      if (bit < 32 || bit >= 64) expect(pushAll([broken])).toMatchObject({ code: 'checksum' });
    }
  });
});

describe('plain msgpack', () => {
  it('is exactly what JSON can hold', () => {
    fc.assert(
      fc.property(json, (value) => {
        expect(isPlainMsgpack(new Packr({ useRecords: false }).pack(value))).toBe(true);
      }),
    );
  });

  it('has no more nesting than 128 levels, so that a decoder cannot run out of stack', () => {
    const nested = (levels: number) =>
      Uint8Array.from({ length: levels + 1 }, (_, i) => (i < levels ? 0x91 : 0xc0));
    expect(isPlainMsgpack(nested(100))).toBe(true);
    expect(isPlainMsgpack(nested(128))).toBe(false);
    expect(isPlainMsgpack(nested(1_000_000))).toBe(false);
  });

  it('announces no more values than there are bytes', () => {
    expect(isPlainMsgpack(Uint8Array.of(0xdd, 0xff, 0xff, 0xff, 0xff))).toBe(false);
    expect(isPlainMsgpack(Uint8Array.of(0xdf, 0x7f, 0xff, 0xff, 0xff, 0xc0))).toBe(false);
    expect(isPlainMsgpack(Uint8Array.of(0xdb, 0xff, 0xff, 0xff, 0xff, 0x61))).toBe(false);
  });

  it('ends where its one value ends, and its keys are strings', () => {
    expect(isPlainMsgpack(Uint8Array.of(0x01, 0x01))).toBe(false);
    expect(isPlainMsgpack(Uint8Array.of(0x81, 0xa1, 0x61, 0x01))).toBe(true);
    expect(isPlainMsgpack(Uint8Array.of(0x81, 0x01, 0x01))).toBe(false);
  });
});

it('keeps a head within its header and the stated overhead', () => {
  fc.assert(
    fc.property(json, (body) => {
      const [head] = encodeFrame(body);
      const headerBytes = new DataView(head.buffer).getUint32(4, true);
      expect(head.byteLength).toBeLessThanOrEqual(headerBytes + headOverheadBytes);
    }),
  );
});

describe('a frame whose payload lies in memory', () => {
  const payload = sealPayload([Uint8Array.of(1, 2, 3, 4)]);
  const place = { number: 3, offset: 4_096 };
  const head = encodeHead({ type: 'x' }, payload, place);
  /** What memory gives, and what it was asked for. */
  function decode(bytes: Uint8Array | null, piece = head) {
    const asked: unknown[] = [];
    const decoder = new FrameDecoder(limits);
    decoder.lookIn({
      take: (...about) => {
        asked.push(about);
        return bytes;
      },
    });
    return { decoded: decoder.push(piece), asked };
  }

  it('is whole with its head', () => {
    const { decoded, asked } = decode(payload.pieces[0]);
    expect(decoded).toEqual({ status: 'frame', body: { type: 'x' }, payload: payload.pieces[0] });
    expect(asked).toEqual([[place, 4]]);
  });

  it('is refused when the memory holds something else, or nothing', () => {
    expect(decode(Uint8Array.of(1, 2, 3, 5)).decoded).toMatchObject({ code: 'checksum' });
    expect(decode(null).decoded).toMatchObject({ code: 'malformed' });
  });

  it('is refused before memory is asked when it is too large, or a payload follows as well', () => {
    const large = encodeHead({}, { bytes: limits.maxPayloadBytes + 1, crc32: 0 }, place);
    expect(decode(payload.pieces[0], large)).toMatchObject({ decoded: { code: 'oversize' }, asked: [] });
    const both = joined([head, ...payload.pieces]);
    expect(decode(payload.pieces[0], both)).toMatchObject({ decoded: { code: 'malformed' }, asked: [] });
  });

  it('is refused by whoever shares no memory', () => {
    expect(pushAll([head])).toMatchObject({ status: 'refused', code: 'malformed' });
  });
});
