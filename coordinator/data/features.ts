import { LockstepError } from '../../shared/errors.js';
import type { HostTensor } from '../../shared/tensors.js';
import type { Table } from './csv.js';

export interface FeatureOptions {
  /** Columns to use, in this order. */
  readonly columns: readonly string[];
  /** Whether numbers are scaled to mean 0 and standard deviation 1. Default true. */
  readonly standardize?: boolean;
  /** What an empty number becomes: the median or mean of the others, or an error. Default `median`. */
  readonly missing?: 'median' | 'mean' | 'error';
  /** How categories are encoded: a column each, or their number, for an Embedding. Default `oneHot`. */
  readonly categories?: 'oneHot' | 'index';
}

/** How columns become features, learnt from the training rows alone. Plain data: save it beside the model. */
export interface Features {
  readonly columns: readonly (NumberFeature | CategoryFeature)[];
}

interface NumberFeature {
  readonly kind: 'number';
  readonly name: string;
  /** Stands for an empty field; null: an empty field is an error. */
  readonly fill: number | null;
  readonly mean: number;
  /** Population standard deviation; 1 for a constant column. */
  readonly deviation: number;
}

interface CategoryFeature {
  readonly kind: 'category';
  readonly name: string;
  readonly encoding: 'oneHot' | 'index';
  /** In alphabetical order. Others, and empty fields, are all zeros, or the number after the last. */
  readonly values: readonly string[];
}

/** Learns fills, scales and categories from the training rows. @throws LockstepError DATA_CORRUPT */
export function fitFeatures(train: Table, options: FeatureOptions): Features {
  const { columns, standardize = true, missing = 'median', categories = 'oneHot' } = options;
  return {
    columns: columns.map((name) => {
      const column = train.column(name);
      if (column.kind === 'category') {
        const values = [...new Set(column.values.filter((value) => value !== null))].sort();
        return { kind: 'category', name, encoding: categories, values };
      }
      const known = column.values.filter((value) => !Number.isNaN(value));
      if (known.length === 0) throw unusable(`the column "${name}" has no values`, 'Leave it out.');
      const fill = missing === 'error' ? null : missing === 'mean' ? meanOf(known) : medianOf(known);
      const filled = column.values.map((value) => (Number.isNaN(value) ? (fill ?? value) : value));
      if (!standardize) return { kind: 'number', name, fill, mean: 0, deviation: 1 };
      const mean = meanOf(filled);
      const deviation = Math.sqrt(meanOf(filled.map((value) => (value - mean) ** 2)));
      return { kind: 'number', name, fill, mean, deviation: deviation === 0 ? 1 : deviation };
    }),
  };
}

/** Features per row that `applyFeatures` gives. */
export function featureWidth({ columns }: Features): number {
  return columns.reduce((width, column) => width + widthOf(column), 0);
}

/**
 * Rows as features: float32[rows, width].
 * @throws LockstepError DATA_NOT_FINITE for an empty field that may not be filled, DATA_CORRUPT for other columns
 */
export function applyFeatures(features: Features, table: Table): HostTensor {
  const width = featureWidth(features);
  const data = new Float32Array(table.length * width);
  let offset = 0;
  for (const feature of features.columns) {
    writeFeature(feature, table, data, offset, width);
    offset += widthOf(feature);
  }
  return { dtype: 'float32', shape: [table.length, width], data };
}

function widthOf(column: NumberFeature | CategoryFeature): number {
  return column.kind === 'category' && column.encoding === 'oneHot' ? column.values.length : 1;
}

function writeFeature(
  feature: NumberFeature | CategoryFeature,
  table: Table,
  data: Float32Array,
  offset: number,
  width: number,
): void {
  const column = table.column(feature.name);
  if (column.kind !== feature.kind)
    throw unusable(`the column "${feature.name}" changed its kind`, `Expected ${feature.kind}.`);
  for (let row = 0; row < table.length; row++) {
    const at = row * width + offset;
    if (feature.kind === 'number') {
      let value = Number(column.values[row]);
      if (Number.isNaN(value)) {
        if (feature.fill === null) throw emptyField(feature.name, row);
        value = feature.fill;
      }
      data[at] = (value - feature.mean) / feature.deviation;
    } else {
      const value = column.values[row];
      const found = typeof value === 'string' ? feature.values.indexOf(value) : -1;
      if (feature.encoding === 'index') data[at] = found < 0 ? feature.values.length : found;
      else if (found >= 0) data[at + found] = 1;
    }
  }
}

function meanOf(values: Float64Array): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

function medianOf(values: Float64Array): number {
  const sorted = values.slice().sort();
  const middle = Math.floor(sorted.length / 2);
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

function emptyField(name: string, row: number): LockstepError {
  return new LockstepError('DATA_NOT_FINITE', `row ${row} has no "${name}"`, {
    hint: "Fill it in, or let fitFeatures do so with missing: 'median'.",
  });
}

function unusable(message: string, hint: string): LockstepError {
  return new LockstepError('DATA_CORRUPT', message, { hint });
}
