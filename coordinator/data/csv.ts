import { CsvError, parse } from 'csv-parse/sync';
import { LockstepError } from '../../shared/errors.js';
import { deriveSeed, Random } from '../../shared/random.js';
import type { HostTensor } from '../../shared/tensors.js';
import { corruptData, readDataFile } from './read-data-file.js';

/** A column of a table: numbers, NaN where a field is empty; or texts, null where it is empty. */
export type Column =
  | { readonly kind: 'number'; readonly values: Float64Array }
  | { readonly kind: 'category'; readonly values: readonly (string | null)[] };

export interface CsvOptions {
  /** Default `,`. */
  readonly separator?: string;
  /** Columns to read as numbers or texts; the others are numbers if all their fields are. */
  readonly types?: Readonly<Record<string, Column['kind']>>;
}

/**
 * Reads a CSV file (RFC 4180, plain or gzip) whose first line names the columns.
 * @throws LockstepError DATA_NOT_FOUND; DATA_EMPTY; DATA_CORRUPT naming file and line for ragged lines, or for a
 * field that is no number in a column read as numbers
 */
export async function readCsv(
  path: string,
  { separator = ',', types = {} }: CsvOptions = {},
): Promise<Table> {
  const bytes = await readDataFile(path);
  const [header, ...rows] = parseRows(path, bytes, separator);
  const names = header?.record ?? [];
  const repeated = names.find((name, index) => names.indexOf(name) !== index);
  if (repeated !== undefined) throw corruptData(path, `two columns are named "${repeated}"`);
  const unknown = Object.keys(types).find((name) => !names.includes(name));
  if (unknown !== undefined)
    throw corruptData(path, `it has no column "${unknown}"; it has: ${names.join(', ')}`);
  if (rows.length === 0) {
    throw new LockstepError('DATA_EMPTY', `the data file ${path} has no rows`, {
      hint: 'Its first line names the columns.',
    });
  }
  const columns = names.map((name, index): [string, Column] => {
    const fields = rows.map(({ record, info }) => ({ text: record[index], line: info.lines }));
    return [name, columnOf(path, name, fields, types[name])];
  });
  return new Table(path, rows.length, new Map(columns));
}

interface Row {
  readonly record: readonly string[];
  /** `lines`: the line of the file on which the row ends, from 1. */
  readonly info: { readonly lines: number };
}

function parseRows(path: string, bytes: Buffer, separator: string): Row[] {
  try {
    const options = { delimiter: separator, bom: true, skip_empty_lines: true, trim: true, info: true };
    // The types of csv-parse leave out what `info` adds.
    return parse(bytes, options) as unknown as Row[];
  } catch (cause) {
    if (cause instanceof CsvError) throw corruptData(path, cause.message, cause);
    throw cause;
  }
}

interface Field {
  readonly text: string;
  readonly line: number;
}

/** Decimal notation; Number() alone would also take hexadecimal and the empty text. */
const decimal = /^[+-]?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?$/i;

function columnOf(
  path: string,
  name: string,
  fields: readonly Field[],
  kind: Column['kind'] | undefined,
): Column {
  const firstText = fields.find(({ text }) => text !== '' && !decimal.test(text));
  if (kind === 'number' && firstText !== undefined) {
    throw corruptData(path, `line ${firstText.line}: ${name} is "${firstText.text}", expected a number`);
  }
  if (kind === 'category' || firstText !== undefined) {
    return { kind: 'category', values: fields.map(({ text }) => (text === '' ? null : text)) };
  }
  return {
    kind: 'number',
    values: Float64Array.from(fields, ({ text }) => (text === '' ? Number.NaN : Number(text))),
  };
}

/** Rows with named, typed columns. Immutable. */
export class Table {
  readonly #path: string;
  readonly length: number;
  readonly #columns: ReadonlyMap<string, Column>;

  constructor(path: string, length: number, columns: ReadonlyMap<string, Column>) {
    this.#path = path;
    this.length = length;
    this.#columns = columns;
  }

  get names(): readonly string[] {
    return [...this.#columns.keys()];
  }

  /** @throws LockstepError DATA_CORRUPT if there is no such column */
  column(name: string): Column {
    const column = this.#columns.get(name);
    if (column === undefined)
      throw corruptData(this.#path, `it has no column "${name}"; it has: ${this.names.join(', ')}`);
    return column;
  }

  /** A numeric column as float32[rows, 1], e.g. the target of a regression. @throws LockstepError DATA_CORRUPT */
  numbers(name: string): HostTensor {
    const column = this.column(name);
    if (column.kind !== 'number')
      throw corruptData(this.#path, `the column "${name}" holds texts, expected numbers`);
    return { dtype: 'float32', shape: [this.length, 1], data: Float32Array.from(column.values) };
  }

  /** The rows named by `indices`, in that order. */
  rows(indices: Int32Array): Table {
    const columns = [...this.#columns].map(([name, column]): [string, Column] => [
      name,
      pick(column, indices),
    ]);
    return new Table(this.#path, indices.length, new Map(columns));
  }

  /** The rows for which `keep` is true. */
  filter(keep: (row: number) => boolean): Table {
    return this.rows(Int32Array.from({ length: this.length }, (_, row) => row).filter(keep));
  }

  /**
   * Shuffles the rows and sets a fraction apart. The same seed gives the same split.
   * @throws LockstepError BAD_OPTION unless both parts get a row
   */
  split({ validation, seed }: { readonly validation: number; readonly seed: number }): {
    train: Table;
    validation: Table;
  } {
    const at = Math.round(this.length * (1 - validation));
    if (!(at > 0 && at < this.length)) {
      throw new LockstepError('BAD_OPTION', `validation is ${validation} of ${this.length} rows`, {
        hint: 'Use a fraction between 0 and 1 that leaves rows on both sides, for example 0.2.',
      });
    }
    const order = new Random(deriveSeed(seed, 'split')).permutation(this.length);
    return { train: this.rows(order.subarray(0, at)), validation: this.rows(order.subarray(at)) };
  }
}

function pick(column: Column, indices: Int32Array): Column {
  if (column.kind === 'category')
    return { kind: 'category', values: Array.from(indices, (row) => column.values[row]) };
  return { kind: 'number', values: Float64Array.from(indices, (row) => column.values[row]) };
}
