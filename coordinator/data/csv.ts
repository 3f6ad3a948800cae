import { CsvError, parse } from 'csv-parse/sync';
import { LockstepError } from '../../shared/errors.js';
import { Random } from '../../shared/random.js';
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
  if (header === undefined || rows.length === 0) {
    throw new LockstepError('DATA_EMPTY', `the data file ${path} has no rows`, {
      hint: 'Its first line names the columns.',
    });
  }
  const columns = header.map((name, index): [string, Column] => {
    const fields = rows.map((row) => row[index]);
    return [name, columnOf(path, name, fields, types[name])];
  });
  return new Table(path, rows.length, new Map(columns));
}

function parseRows(path: string, bytes: Buffer, separator: string): string[][] {
  try {
    return parse(bytes, { delimiter: separator, bom: true, skip_empty_lines: true, trim: true });
  } catch (cause) {
    if (cause instanceof CsvError) throw corruptData(path, cause.message, cause);
    throw cause;
  }
}

function columnOf(
  path: string,
  name: string,
  fields: readonly string[],
  kind: Column['kind'] | undefined,
): Column {
  const isNumber = (field: string): boolean => field === '' || !Number.isNaN(Number(field));
  const firstText = fields.findIndex((field) => !isNumber(field));
  if (kind === 'number' && firstText >= 0) {
    // Line 1 is the header.
    throw corruptData(path, `line ${firstText + 2}: ${name} is "${fields[firstText]}", expected a number`);
  }
  if (kind === 'category' || firstText >= 0) {
    return { kind: 'category', values: fields.map((field) => (field === '' ? null : field)) };
  }
  return {
    kind: 'number',
    values: Float64Array.from(fields, (field) => (field === '' ? Number.NaN : Number(field))),
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

  /** Shuffles the rows and sets a fraction apart. The same seed gives the same split. */
  split({ validation, seed }: { readonly validation: number; readonly seed: number }): {
    train: Table;
    validation: Table;
  } {
    const order = new Random(seed).permutation(this.length);
    const at = Math.round(this.length * (1 - validation));
    return { train: this.rows(order.subarray(0, at)), validation: this.rows(order.subarray(at)) };
  }
}

function pick(column: Column, indices: Int32Array): Column {
  if (column.kind === 'category')
    return { kind: 'category', values: Array.from(indices, (row) => column.values[row]) };
  return { kind: 'number', values: Float64Array.from(indices, (row) => column.values[row]) };
}
