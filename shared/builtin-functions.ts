import { didYouMean } from './did-you-mean.js';
import { LockstepError } from './errors.js';
import type { FunctionRef } from './program.js';

export type Params = Readonly<Record<string, number | boolean>>;

/** What a builder accepts: the defaults' names, with values of the defaults' types. */
export type ParamsLike<Defaults extends Params> = {
  readonly [K in keyof Defaults]?: Defaults[K] extends boolean ? boolean : number;
};

/** One builder per function: `huber({ delta: 2 })`. */
export type Builders<Table extends Readonly<Record<string, Params>>> = {
  readonly [Name in keyof Table]: (params?: ParamsLike<Table[Name]>) => FunctionRef;
};

/** `mean_squared_error`, `MeanSquaredError` and `meanSquaredError` are the same name. */
function keyOf(name: string): string {
  return name.replaceAll('_', '').toLowerCase();
}

function builtin(kind: string, name: string, defaults: Params, given: Params): FunctionRef {
  for (const [param, value] of Object.entries(given)) {
    const expected = typeof defaults[param];
    if (expected === 'undefined') {
      throw new LockstepError('BAD_OPTION', `${kind} ${name} has no parameter "${param}"`, {
        hint: `It has: ${Object.keys(defaults).join(', ') || 'none'}.`,
      });
    }
    if (value !== undefined && (typeof value !== expected || Number.isNaN(value))) {
      throw new LockstepError('BAD_OPTION', `${kind} ${name}: ${param} is ${value}, expected a ${expected}`, {
        hint: `The default is ${defaults[param]}.`,
      });
    }
  }
  const set = Object.entries(given).filter(([, value]) => value !== undefined);
  return { kind: 'builtin', name, params: { ...defaults, ...Object.fromEntries(set) } };
}

/** Makes the builders of a table of functions with their default parameters. */
export function buildersOf<Table extends Readonly<Record<string, Params>>>(
  kind: 'loss' | 'metric',
  table: Table,
): Builders<Table> {
  const builders = Object.entries(table).map(([name, defaults]) => [
    name,
    (given: Params = {}) => builtin(kind, name, defaults, given),
  ]);
  return Object.fromEntries(builders) as Builders<Table>;
}

/**
 * Finds a function by name: camelCase, snake_case and class names, and the aliases, in any case.
 * @throws LockstepError JOB_INVALID naming the nearest name and all others
 */
export function resolveBuiltin(
  kind: 'loss' | 'metric',
  table: Readonly<Record<string, Params>>,
  aliases: Readonly<Record<string, string>>,
  name: string,
): FunctionRef {
  const names = new Map<string, string>();
  for (const canonical of Object.keys(table)) names.set(keyOf(canonical), canonical);
  for (const [alias, canonical] of Object.entries(aliases)) names.set(keyOf(alias), canonical);
  const found = names.get(keyOf(name));
  if (found !== undefined) return builtin(kind, found, table[found], {});
  const nearest = didYouMean(name, [...Object.keys(table), ...Object.keys(aliases)]);
  const suggestion = nearest === null ? '' : `Did you mean "${nearest}"? `;
  throw new LockstepError('JOB_INVALID', `unknown ${kind} "${name}"`, {
    hint: `${suggestion}Known: ${Object.keys(table).join(', ')}.`,
  });
}
