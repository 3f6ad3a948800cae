import type { StreamRecord } from '../../../coordinator/data/dataset.js';
import { adam, sgd } from '../../../coordinator/optimizer/configs.js';
import type { OptimizerConfig } from '../../../coordinator/optimizer/optimizer.js';
import type { Manifest } from '../../../shared/manifest.js';
import type { ProgramSpec } from '../../../shared/program.js';
import { Random } from '../../../shared/random.js';
import type { HostTensor } from '../../../shared/tensors.js';

/** Inputs of a row; the first one is the row's number, so that a shard can say which rows it saw. */
export const features = 4;
export const units = 3;
export const batchNormMomentum = 0.9;
export const l2 = 1e-3;
export const dropoutRate = 0.25;

/** What is trained, small enough to be trained thousands of times a minute. */
export interface TinyJob {
  readonly seed: number;
  readonly shards: number;
  readonly batchSize: number;
  /** At most 50: the ledger of samples is a bit set in a float64. */
  readonly rows: number;
  readonly validationRows: number;
  readonly epochs: number;
  readonly isStream: boolean;
  readonly optimizer: 'momentum' | 'adam';
  readonly globalClipNorm: number | null;
  readonly stopsEarly: boolean;
}

/** Epochs that end with a validation, counted from 1. */
export const validatedEpochs = [2, 3, 4];

/** How many different jobs `jobOf` makes. */
export const jobVariants = 24;

/** Of the jobs with early stopping: seeds of which all but the last stop before their fourth epoch. */
const stoppingSeeds = [100, 103, 107, 109, 113, 106, 108, 121];

/** At least 20 steps in each. */
export function jobOf(variant: number): TinyJob {
  const stopsEarly = variant % 3 === 0;
  return {
    seed: stopsEarly ? stoppingSeeds[variant / 3] : 100 + variant,
    shards: [3, 2, variant < 12 ? 5 : 4, 2][variant % 4],
    batchSize: [8, 7, 6, 5][variant % 4],
    // Seven batches. The last one of an epoch is smaller; some of its shards are absent, one may be ragged.
    rows: [50, 46, 39, 34][variant % 4],
    validationRows: 7,
    epochs: stopsEarly ? 4 : 3,
    isStream: Math.floor(variant / 4) % 2 === 1,
    optimizer: Math.floor(variant / 8) % 2 === 0 ? 'adam' : 'momentum',
    globalClipNorm: variant % 2 === 0 ? 0.5 : null,
    stopsEarly,
  };
}

export const rates = { adam: 0.05, momentum: 0.03 };

export function optimizerOf({ optimizer, globalClipNorm }: TinyJob): OptimizerConfig {
  const clipping = globalClipNorm === null ? {} : { globalClipNorm };
  return optimizer === 'adam'
    ? adam({ learningRate: rates.adam, ...clipping })
    : sgd({ learningRate: rates.momentum, momentum: 0.9, ...clipping });
}

const shapes: readonly (readonly [name: string, shape: readonly number[], trainable: boolean])[] = [
  ['dense/kernel', [features, units], true],
  ['dense/bias', [units], true],
  ['norm/gamma', [units], true],
  ['norm/beta', [units], true],
  ['norm/moving_mean', [units], false],
  ['norm/moving_variance', [units], false],
  ['out/kernel', [units, 1], true],
  ['out/bias', [1], true],
];

const sizeOf = (shape: readonly number[]): number => shape.reduce((size, dim) => size * dim, 1);

function offsetOf(index: number): number {
  const before = shapes.filter(([, , trainable], i) =>
    trainable === shapes[index][2] ? i < index : trainable,
  );
  return before.reduce((sum, [, shape]) => sum + sizeOf(shape), 0);
}

export const manifest: Manifest = {
  weights: shapes.map(([name, shape, trainable], index) => ({
    name,
    shape,
    size: sizeOf(shape),
    trainable,
    offset: offsetOf(index),
  })),
  trainableSize: shapes.reduce((sum, [, shape, trainable]) => sum + (trainable ? sizeOf(shape) : 0), 0),
  totalSize: shapes.reduce((sum, [, shape]) => sum + sizeOf(shape), 0),
  batchNorms: [{ layer: 'norm', momentum: batchNormMomentum, channels: units, mean: 4, variance: 5 }],
  frozenLayers: [],
};

/** Of the weight with this index in the manifest. */
export const offsets = manifest.weights.map(({ offset }) => offset);

/** The weights that every run begins with. */
export function initialWeights({ seed }: TinyJob): Float32Array {
  const random = new Random(seed);
  const flat = new Float32Array(manifest.totalSize);
  for (let i = 0; i < flat.length; i++) flat[i] = 0.4 * random.normal();
  flat.fill(1, offsets[2], offsets[2] + units);
  flat.fill(0, offsets[4], offsets[4] + units);
  flat.fill(1, offsets[5], offsets[5] + units);
  return flat;
}

export function programOf({ seed }: TinyJob): ProgramSpec {
  const metric = (name: string, label: string) => ({
    output: 0,
    metric: { kind: 'builtin' as const, name, params: {} },
    weighted: false,
    label,
  });
  return {
    topology: { class_name: 'Tiny', config: {} },
    frozenLayers: [],
    outputs: [
      { name: 'out', loss: { kind: 'builtin', name: 'meanSquaredError', params: {} }, lossWeight: 1 },
    ],
    metrics: [metric('meanAbsoluteError', 'mae'), metric('meanSquaredError', 'ledger')],
    seed,
  };
}

interface Row {
  readonly x: Float32Array;
  readonly y: number;
}

/** By job and row: they are asked for again and again. */
const rows = new Map<number, Row>();

/** Row `row` of the job's data: inputs, then the target. */
export function rowOf({ seed }: TinyJob, row: number): Row {
  const found = rows.get(seed * 1_000 + row) ?? makeRow(seed, row);
  rows.set(seed * 1_000 + row, found);
  return found;
}

function makeRow(seed: number, row: number): Row {
  const random = new Random(seed * 1_000 + row);
  const x = new Float32Array(features);
  x[0] = row;
  for (let i = 1; i < features; i++) x[i] = random.normal() * (random.below(4) === 0 ? 8 : 1);
  return { x, y: Math.fround(x[1] - 0.5 * x[2] * x[3] + 0.3 * random.normal()) };
}

/** The rows named by `indices`. */
export function tensorsOf(job: TinyJob, indices: ArrayLike<number>): { x: HostTensor; y: HostTensor } {
  const x = new Float32Array(indices.length * features);
  const y = new Float32Array(indices.length);
  for (let i = 0; i < indices.length; i++) {
    const row = rowOf(job, indices[i]);
    x.set(row.x, i * features);
    y[i] = row.y;
  }
  return {
    x: { dtype: 'float32', shape: [indices.length, features], data: x },
    y: { dtype: 'float32', shape: [indices.length, 1], data: y },
  };
}

/** The stream's record: every epoch has an order of its own. */
export function recordOf(job: TinyJob, epoch: number, position: number): StreamRecord {
  const { x, y } = rowOf(job, (position * 11 + 3 * epoch) % job.rows);
  return {
    x: [{ dtype: 'float32', shape: [features], data: x }],
    y: [{ dtype: 'float32', shape: [1], data: Float32Array.of(y) }],
  };
}
