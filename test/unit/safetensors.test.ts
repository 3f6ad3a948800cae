import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  decodeSafetensors,
  encodeSafetensors,
  type SafeData,
  type SafeTensor,
} from '../../coordinator/checkpoint/safetensors.js';
import { LockstepError } from '../../shared/errors.js';

const vector = (data: SafeData): SafeTensor => ({ shape: [data.length], data });
const bitsOf = (data: SafeData) => Buffer.from(data.buffer, data.byteOffset, data.byteLength).toString('hex');

/** A file made by hand from a header and data. */
function file(header: unknown, data: Uint8Array = new Uint8Array()): Uint8Array {
  const json = Buffer.isBuffer(header)
    ? header
    : Buffer.from(typeof header === 'string' ? header : JSON.stringify(header));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(json.length));
  return Buffer.concat([length, json, data]);
}

const refused = (bytes: Uint8Array) => {
  try {
    decodeSafetensors(bytes);
  } catch (error) {
    return error instanceof LockstepError && error.code === 'CHECKPOINT_CORRUPT';
  }
  return false;
};

describe('safetensors', () => {
  it('writes the bytes that the format prescribes', () => {
    const bytes = encodeSafetensors(
      new Map([
        ['b', { shape: [2, 1], data: Float32Array.of(1, -2) }],
        ['a', { shape: [], data: Uint8Array.of(7) }],
      ]),
    );
    const json =
      '{"b":{"dtype":"F32","shape":[2,1],"data_offsets":[0,8]},"a":{"dtype":"U8","shape":[],"data_offsets":[8,9]}}';
    const headerBytes = Math.ceil(json.length / 8) * 8;
    const expected = Buffer.concat([
      Buffer.from([headerBytes, 0, 0, 0, 0, 0, 0, 0]),
      Buffer.from(json.padEnd(headerBytes, ' ')),
      Buffer.from('0000803f000000c0' + '07', 'hex'),
    ]);
    expect(Buffer.from(bytes).toString('latin1')).toBe(expected.toString('latin1'));
  });

  it('reads a file that another program wrote: metadata, other order, an unaligned start', () => {
    const header = {
      __metadata__: { format: 'pt' },
      second: { dtype: 'F64', shape: [1], data_offsets: [5, 13] },
      first: { dtype: 'I32', shape: [1], data_offsets: [1, 5] },
      flag: { dtype: 'U8', shape: [1], data_offsets: [0, 1] },
    };
    const data = Buffer.alloc(13);
    data.writeUInt8(1, 0);
    data.writeInt32LE(-5, 1);
    data.writeDoubleLE(0.1, 5);
    const tensors = decodeSafetensors(file(header, data));
    expect([...tensors.keys()].sort()).toEqual(['first', 'flag', 'second']);
    expect(tensors.get('first')?.data).toEqual(Int32Array.of(-5));
    expect(tensors.get('second')?.data).toEqual(Float64Array.of(0.1));
    expect(tensors.get('flag')?.data).toEqual(Uint8Array.of(1));
  });

  it('keeps every bit: payloads of NaN, -0 and subnormals', () => {
    const float32 = new Float32Array(
      Uint32Array.of(0x7fc00000, 0x7fa12345, 0xffc00001, 0x80000000, 1, 0x807fffff).buffer,
    );
    const float64 = new Float64Array(
      BigUint64Array.of(0x7ff8000000000001n, 0xfff4000000000000n, 1n << 63n, 1n).buffer,
    );
    const back = decodeSafetensors(
      encodeSafetensors(
        new Map([
          ['f32', vector(float32)],
          ['f64', vector(float64)],
        ]),
      ),
    );
    expect(bitsOf(back.get('f32')!.data)).toBe(bitsOf(float32));
    expect(bitsOf(back.get('f64')!.data)).toBe(bitsOf(float64));
  });

  it('gives back any tensors, and the same file whatever order they come in', () => {
    const data = fc.oneof<fc.Arbitrary<SafeData>[]>(
      fc.float32Array({ maxLength: 9 }),
      fc.float64Array({ maxLength: 9 }),
      fc.int32Array({ maxLength: 9 }),
      fc.uint8Array({ maxLength: 9 }),
    );
    const name = fc.oneof(fc.string(), fc.constantFrom('0', '10', '__proto__', 'é/ß', 'toString'));
    fc.assert(
      fc.property(
        fc.uniqueArray(fc.tuple(name, data), { selector: ([key]) => key, maxLength: 6 }),
        (list) => {
          const named = list.map(([key, values]): [string, SafeTensor] => [key, vector(values)]);
          const bytes = encodeSafetensors(new Map(named));
          expect(Buffer.compare(bytes, encodeSafetensors(new Map([...named].reverse())))).toBe(0);
          const back = decodeSafetensors(bytes);
          expect(back.size).toBe(named.length);
          for (const [key, { data: values, shape }] of named) {
            const got = back.get(key);
            expect(got?.shape).toEqual(shape);
            expect(got?.data.constructor).toBe(values.constructor);
            expect(bitsOf(got!.data)).toBe(bitsOf(values));
          }
        },
      ),
      { numRuns: 200 },
    );
  });

  it.each([
    ['nothing', new Uint8Array()],
    ['a length alone', Uint8Array.of(9, 0, 0, 0, 0, 0, 0, 0)],
    ['a length of 2^63', Uint8Array.of(2, 0, 0, 0, 0, 0, 0, 128, 0x7b, 0x7d)],
    ['no JSON', file('{"a":')],
    ['an array', file('[]')],
    ['space before the object', file(' {}')],
    ['broken UTF-8', file(Buffer.from('{"__metadata__":{"a":"\xff"}}', 'latin1'))],
    ['data that nobody owns', file({}, new Uint8Array(1))],
    ['an unknown type', file({ a: { dtype: 'F16', shape: [1], data_offsets: [0, 2] } }, new Uint8Array(2))],
    ['an inherited type', file({ a: { dtype: 'toString', shape: [0], data_offsets: [0, 0] } })],
    ['a field too many', file({ a: { dtype: 'U8', shape: [0], data_offsets: [0, 0], x: 1 } })],
    ['a missing field', file({ a: { dtype: 'U8', shape: [0] } })],
    [
      'a negative size',
      file({ a: { dtype: 'U8', shape: [-1, -1], data_offsets: [0, 1] } }, new Uint8Array(1)),
    ],
    ['a fraction', file({ a: { dtype: 'U8', shape: [0.5, 2], data_offsets: [0, 1] } }, new Uint8Array(1))],
    [
      'a shape that overflows',
      file({ a: { dtype: 'F32', shape: [2 ** 40, 2 ** 40], data_offsets: [0, 4] } }),
    ],
    [
      'offsets beyond the end',
      file({ a: { dtype: 'U8', shape: [4], data_offsets: [0, 4] } }, new Uint8Array(3)),
    ],
    ['reversed offsets', file({ a: { dtype: 'U8', shape: [1], data_offsets: [1, 0] } }, new Uint8Array(1))],
    ['a gap', file({ a: { dtype: 'U8', shape: [1], data_offsets: [1, 2] } }, new Uint8Array(2))],
    [
      'an overlap',
      file(
        {
          a: { dtype: 'U8', shape: [2], data_offsets: [0, 2] },
          b: { dtype: 'U8', shape: [2], data_offsets: [1, 3] },
        },
        new Uint8Array(3),
      ),
    ],
  ])('refuses %s', (_, bytes) => {
    expect(refused(bytes)).toBe(true);
  });

  it('survives any bytes: it reads them or refuses them', () => {
    const valid = encodeSafetensors(new Map([['weights', vector(Float32Array.of(1, 2, 3))]]));
    const change = fc.tuple(fc.nat(valid.length - 1), fc.nat(255));
    fc.assert(
      fc.property(fc.array(change, { maxLength: 4 }), fc.nat(valid.length), (changes, length) => {
        const bytes = valid.slice(0, length);
        for (const [at, value] of changes) if (at < length) bytes[at] = value;
        if (refused(bytes)) return;
        const total = [...decodeSafetensors(bytes).values()].reduce(
          (sum, { data }) => sum + data.byteLength,
          0,
        );
        expect(total).toBeLessThanOrEqual(bytes.length);
      }),
      { numRuns: 2000 },
    );
  });
});
