import { digestLength } from '../../shared/digest.js';
import { invariant } from '../../shared/errors.js';
import { isHeader, isSet, type Receipt, type ReceiptsHeader, type StepReceipt } from './receipt.js';

/** What parts first in a step, in the order in which one causes the next. */
export type Part =
  | { readonly what: 'data' }
  /** A shard's own gradient; `variable` is null where the two recorded different numbers of variables. */
  | { readonly what: 'shard'; readonly shard: number; readonly variable: string | null }
  /** The sum of all shards; `areShardsEqual` is null where shards were not recorded by both. */
  | { readonly what: 'sum'; readonly areShardsEqual: true | null }
  /** One of the two skipped the step. */
  | { readonly what: 'skipped'; readonly by: Side }
  | { readonly what: 'weights' | 'optimizer' | 'stats' }
  /** Weights that a callback set after the step: by one of the two, or other ones. */
  | { readonly what: 'set'; readonly by: Side | null };

export type Side = 'a' | 'b';

const jobFields = ['manifestHash', 'batchSize', 'shards', 'seed'] as const;
export type JobField = (typeof jobFields)[number];

export type Difference =
  /** They are not runs of one job: their bits are not expected to agree. */
  | { readonly type: 'job'; readonly field: JobField; readonly values: readonly [unknown, unknown] }
  /** Step 0 is the state that they begin with. */
  | { readonly type: 'bits'; readonly step: number; readonly part: Part };

export interface Comparison {
  readonly headers: readonly [ReceiptsHeader, ReceiptsHeader];
  /** Steps that were found equal. */
  readonly steps: number;
  /** Null if the two took the same bits as far as both go. */
  readonly difference: Difference | null;
  /** The last step of each; of no use if they differ. */
  readonly last: readonly [number, number];
}

type Line = Receipt | ReceiptsHeader;
export type Lines = AsyncIterable<Line> | Iterable<Line>;

/** Finds where two runs part: the first step, and the first cause in it. Reads no further than that. */
export async function compareReceipts(a: Lines, b: Lines): Promise<Comparison> {
  const [one, other] = [iteratorOf(a), iteratorOf(b)];
  try {
    return await compare(one, other);
  } finally {
    await Promise.all([one.return?.(), other.return?.()]);
  }
}

type Reader = AsyncIterator<Line> | Iterator<Line>;

const iteratorOf = (lines: Lines): Reader =>
  Symbol.asyncIterator in lines ? lines[Symbol.asyncIterator]() : lines[Symbol.iterator]();

async function compare(a: Reader, b: Reader): Promise<Comparison> {
  const headers = [await headerOf(a), await headerOf(b)] as const;
  const last: [number, number] = [headers[0].step, headers[1].step];
  let steps = 0;
  const result = (difference: Difference | null): Comparison => ({ headers, steps, difference, last });

  for (const field of jobFields) {
    const values = [headers[0][field], headers[1][field]] as const;
    if (values[0] !== values[1]) return result({ type: 'job', field, values });
  }
  const from = Math.max(...last);
  if (last[0] === last[1]) {
    const part = statePart(...headers);
    if (part !== null) return result({ type: 'bits', step: from, part });
  }
  let [x, y] = [await next(a), await next(b)];
  // One that began anew in the middle has nothing to compare before.
  while (x !== null && headers[0].step < from && x.step <= from) x = await next(a);
  while (y !== null && headers[1].step < from && y.step <= from) y = await next(b);

  while (x !== null && y !== null) {
    const part = partOf(x, y, headers[0].variables);
    if (part !== null) return result({ type: 'bits', step: Math.min(x.step, y.step), part });
    if (!isSet(x)) steps += 1;
    last[0] = x.step;
    last[1] = y.step;
    [x, y] = [await next(a), await next(b)];
  }
  for (const [side, reader] of [a, b].entries()) {
    let rest = side === 0 ? x : y;
    const isEndSet = rest !== null && isSet(rest);
    const end = last[side];
    for (; rest !== null; rest = await next(reader)) last[side] = rest.step;
    // Set after the last step that both have, and not by a run that merely went on.
    if (isEndSet && last[side] === end) {
      return result({ type: 'bits', step: end, part: { what: 'set', by: side === 0 ? 'a' : 'b' } });
    }
  }
  return result(null);
}

async function headerOf(reader: Reader): Promise<ReceiptsHeader> {
  const { value, done } = await reader.next();
  invariant(done !== true && isHeader(value), 'receipts without a header');
  return value;
}

async function next(reader: Reader): Promise<Receipt | null> {
  const { value, done } = await reader.next();
  if (done === true) return null;
  invariant(!isHeader(value), 'a second header among receipts');
  return value;
}

function partOf(x: Receipt, y: Receipt, variables: readonly string[]): Part | null {
  if (isSet(x) && isSet(y)) {
    return x.step === y.step && statePart(x, y) === null ? null : { what: 'set', by: null };
  }
  if (isSet(x)) return { what: 'set', by: 'a' };
  if (isSet(y)) return { what: 'set', by: 'b' };
  const isSamePlace = x.step === y.step && x.epoch === y.epoch && x.batch === y.batch;
  if (!isSamePlace || x.data !== y.data) return { what: 'data' };
  const shard = shardPart(x, y, variables);
  if (shard !== null) return shard;
  if (x.skipped !== y.skipped) return { what: 'skipped', by: x.skipped === true ? 'a' : 'b' };
  const areShardsEqual = x.shards !== undefined && y.shards !== undefined ? true : null;
  return x.sum === y.sum ? statePart(x, y) : { what: 'sum', areShardsEqual };
}

function shardPart(x: StepReceipt, y: StepReceipt, variables: readonly string[]): Part | null {
  if (x.shards === undefined || y.shards === undefined) return null;
  for (const [shard, digests] of x.shards.entries()) {
    const others = y.shards[shard] ?? '';
    if (digests === others) continue;
    const index = variables.findIndex((_, at) => {
      const from = at * digestLength;
      return digests.slice(from, from + digestLength) !== others.slice(from, from + digestLength);
    });
    return { what: 'shard', shard, variable: variables[index] ?? null };
  }
  return null;
}

function statePart(
  x: Pick<StepReceipt, 'weights' | 'optimizer' | 'stats'>,
  y: Pick<StepReceipt, 'weights' | 'optimizer' | 'stats'>,
): Part | null {
  for (const what of ['weights', 'optimizer', 'stats'] as const) if (x[what] !== y[what]) return { what };
  return null;
}
