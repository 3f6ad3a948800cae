import { invariant } from '../../shared/errors.js';
import type { Json } from '../../shared/json.js';

/*
 * JSON that loses no bit of a number and has one text per value, so that it can be hashed:
 *
 * - no white space; the keys of an object sorted by UTF-16 code unit;
 * - finite numbers as JavaScript prints them, the shortest text that reads back as the same float64;
 * - what JSON cannot say as {"$number":"NaN"}, "Infinity", "-Infinity" or "-0" (every NaN is the same NaN);
 * - a key that begins with $ gets another $ in front.
 */

const special: Readonly<Record<string, number>> = {
  NaN: Number.NaN,
  Infinity,
  '-Infinity': -Infinity,
  '-0': -0,
};

/** The canonical text of plain data; anything else in it is a bug. */
export function encodeExact(value: unknown): string {
  if (typeof value === 'number') {
    if (Object.is(value, -0)) return '{"$number":"-0"}';
    return Number.isFinite(value) ? String(value) : `{"$number":"${value}"}`;
  }
  if (value === null || typeof value === 'boolean' || typeof value === 'string') return JSON.stringify(value);
  if (Array.isArray(value)) return `[${value.map(encodeExact).join(',')}]`;
  invariant(typeof value === 'object', `a ${typeof value} where plain data is expected`);
  const fields = Object.entries(value)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([key, field]) => `${JSON.stringify(key.startsWith('$') ? `$${key}` : key)}:${encodeExact(field)}`);
  return `{${fields.join(',')}}`;
}

/**
 * Reads what `encodeExact` wrote, white space allowed.
 * @throws SyntaxError if the text is not JSON or uses `$` otherwise
 */
export function decodeExact(text: string): Json {
  return restore(JSON.parse(text) as Json);
}

function restore(value: Json): Json {
  if (Array.isArray(value)) return value.map(restore);
  if (typeof value !== 'object' || value === null) return value;
  const entries = Object.entries(value as Record<string, Json>);
  if (entries.length === 1 && entries[0][0] === '$number') {
    const name = entries[0][1];
    if (typeof name === 'string' && Object.hasOwn(special, name)) return special[name];
    throw new SyntaxError('unknown $number');
  }
  return Object.fromEntries(
    entries.map(([key, field]) => {
      if (key.startsWith('$') && !key.startsWith('$$')) throw new SyntaxError(`unknown key ${key}`);
      return [key.startsWith('$$') ? key.slice(1) : key, restore(field)];
    }),
  );
}
