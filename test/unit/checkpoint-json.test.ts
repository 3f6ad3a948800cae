import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { decodeExact, encodeExact } from '../../coordinator/checkpoint/exact-json.js';
import type { Json } from '../../shared/json.js';

describe('exact JSON', () => {
  const exactly = (value: Json) => expect(decodeExact(encodeExact(value)));

  it('keeps the numbers that JSON loses', () => {
    const values = [Number.NaN, Infinity, -Infinity, -0, 0, 5e-324, 1.7976931348623157e308, 0.1 + 0.2];
    const back = decodeExact(encodeExact(values)) as number[];
    expect(back.map((value, i) => Object.is(value, values[i]))).toEqual(values.map(() => true));
  });

  it('keeps any float64 and any keys, also those that look like its own marks', () => {
    fc.assert(
      fc.property(fc.double(), fc.string(), (number, key) => {
        exactly({ [key]: number }).toStrictEqual({ [key]: number });
      }),
    );
    exactly({ $number: 'NaN' }).toStrictEqual({ $number: 'NaN' });
    exactly({ $$number: { $: 1 } }).toStrictEqual({ $$number: { $: 1 } });
  });

  it('has one text for equal values, with sorted keys', () => {
    expect(encodeExact({ b: [1, -0], a: { d: null, c: 'é' } })).toBe(
      '{"a":{"c":"é","d":null},"b":[1,{"$number":"-0"}]}',
    );
  });

  it('refuses marks it does not know', () => {
    expect(() => decodeExact('{"$number":"1e3"}')).toThrow(SyntaxError);
    expect(() => decodeExact('{"$other":1}')).toThrow(SyntaxError);
  });
});
