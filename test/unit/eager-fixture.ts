import * as tf from '@tensorflow/tfjs';
import { manifestOf } from '../../shared/manifest.js';
import { addPartials, type ShardPartial } from '../../shared/partial.js';
import type { ProgramSpec, ShardProgram } from '../../shared/program.js';
import { Random } from '../../shared/random.js';
import { type HostTensor, sizeOf, sliceRows } from '../../shared/tensors.js';
import { planShards, sumTree } from '../../shared/tree.js';

export interface HostBatch {
  readonly x: readonly HostTensor[];
  readonly y: readonly HostTensor[];
  readonly sampleWeights?: readonly (HostTensor | null)[];
}

/** Standard normal values. */
export function normal(shape: readonly number[], seed: number): HostTensor {
  const random = new Random(seed);
  return {
    dtype: 'float32',
    shape,
    data: Float32Array.from({ length: sizeOf(shape) }, () => random.normal()),
  };
}

/** Class numbers below `classes`. */
export function classes(shape: readonly number[], classes: number, seed: number): HostTensor {
  const random = new Random(seed);
  return {
    dtype: 'int32',
    shape,
    data: Int32Array.from({ length: sizeOf(shape) }, () => random.below(classes)),
  };
}

export function float32(shape: readonly number[], values: ArrayLike<number>): HostTensor {
  return { dtype: 'float32', shape, data: Float32Array.from(values) };
}

/** Gives every weight a random value, so that no gradient is trivially 0; variances stay positive. */
export function randomizeWeights(model: tf.LayersModel, seed: number): Float32Array {
  const random = new Random(seed);
  const manifest = manifestOf(model);
  const flat = new Float32Array(manifest.totalSize);
  for (const { name, offset, size } of manifest.weights) {
    for (let i = 0; i < size; i++) {
      flat[offset + i] = name.endsWith('variance') ? 0.5 + random.next() : 0.5 * random.normal();
    }
  }
  const tensors = manifest.weights.map(({ offset, size, shape }) =>
    tf.tensor(flat.slice(offset, offset + size), [...shape]),
  );
  model.weights.forEach((weight, index) => {
    // Not setWeights: it would apply the constraints.
    (weight.read() as tf.Variable).assign(tensors[index]);
  });
  tf.dispose(tensors);
  return flat;
}

export function specOf(
  model: tf.LayersModel,
  given: Pick<ProgramSpec, 'outputs'> & Partial<ProgramSpec>,
): ProgramSpec {
  return {
    topology: model.toJSON(null, false),
    frozenLayers: manifestOf(model).frozenLayers,
    metrics: [],
    seed: 7,
    ...given,
  };
}

/** Computes a whole batch in `shards` shards and adds the partials along the tree. */
export async function runBatch(
  program: ShardProgram,
  kind: 'train' | 'evaluate',
  { x, y, sampleWeights }: HostBatch,
  shards: number,
  step = 0,
): Promise<ShardPartial> {
  const rows = x[0].shape[0];
  const plan = planShards(rows, rows, shards);
  const partials: ShardPartial[] = [];
  for (let shard = 0; shard < plan.present; shard++) {
    const { lo, hi } = plan.rowsOf(shard);
    const cut = (tensor: HostTensor) => sliceRows(tensor, lo, hi);
    const weights = y.map((_, output) => sampleWeights?.[output] ?? null);
    const data = {
      x: x.map(cut),
      y: y.map(cut),
      sampleWeights: weights.map((w) => (w === null ? null : cut(w))),
    };
    partials.push(await program[kind]({ step, shard, batchRows: rows, data }));
  }
  const sum = sumTree({ lo: 0, hi: shards }, (shard) => partials[shard] ?? null, addPartials);
  if (sum === null) throw new TypeError('an empty batch');
  return sum;
}

export function largestDifference(a: ArrayLike<number>, b: ArrayLike<number>): number {
  if (a.length !== b.length) return Number.POSITIVE_INFINITY;
  let largest = 0;
  for (let i = 0; i < a.length; i++) largest = Math.max(largest, Math.abs(a[i] - b[i]));
  return largest;
}
