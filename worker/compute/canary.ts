import { createHash } from 'node:crypto';
import type * as tf from '@tensorflow/tfjs';
import type { Clock } from '../../shared/clock.js';
import { InvariantError, LockstepError } from '../../shared/errors.js';
import type { Manifest } from '../../shared/manifest.js';
import type { ShardPartial } from '../../shared/partial.js';
import type { ProgramSpec, ShardData, ShardProgram } from '../../shared/program.js';
import { encodePartial } from '../../shared/protocol/partial-payload.js';
import { deriveSeed, Random } from '../../shared/random.js';
import { type HostTensor, sizeOf } from '../../shared/tensors.js';

/** What a worker computed of a shard that everyone can make up: equal bits promise equal bits of the run's shards. */
export interface Canary {
  /** Of the partial as it would travel. */
  readonly sha256: string;
  /** Of the second computation: the first also warms up kernels and caches. */
  readonly ms: number;
}

/** Stands in for a dimension of inputs and targets that the model leaves open. */
const openDimension = 8;

type Part = 'weights' | 'inputs' | 'targets';
const parts: readonly Part[] = ['weights', 'inputs', 'targets'];

/** Values in [0, 1) with 24 bits, so that float32 holds them exactly: the same everywhere, and in every run. */
function uniform(part: Part, index: number, length: number): Float32Array {
  const words = new Uint32Array(length);
  new Random(deriveSeed(0, 'canary', parts.indexOf(part), index)).fill(words);
  return Float32Array.from(words, (word) => (word >>> 8) / 2 ** 24);
}

/**
 * float32[totalSize]: (0.5 + u) / n, where n is the number of inputs of one unit, a weight's size without its last
 * dimension, and 1 for vectors. Positive, as variances must be; activations neither vanish nor grow.
 */
export function canaryWeights({ weights, totalSize }: Manifest): Float32Array {
  const flat = new Float32Array(totalSize);
  for (const [index, { offset, size, shape }] of weights.entries()) {
    const inputs = shape.length < 2 ? 1 : size / shape[shape.length - 1];
    const values = uniform('weights', index, size);
    flat.set(
      values.map((value) => (0.5 + value) / inputs),
      offset,
    );
  }
  return flat;
}

/** Inputs and targets in [0, 1); targets of a sparse loss are class numbers. */
export function canaryData(
  model: Pick<tf.LayersModel, 'inputs' | 'outputs'>,
  spec: Pick<ProgramSpec, 'outputs'>,
  rows: number,
): ShardData {
  const shapeOf = ({ shape }: tf.SymbolicTensor): number[] => [
    rows,
    ...shape.slice(1).map((dim) => dim ?? openDimension),
  ];
  const x = model.inputs.map((input, index): HostTensor => {
    const shape = shapeOf(input);
    return { dtype: 'float32', shape, data: uniform('inputs', index, sizeOf(shape)) };
  });
  const y = model.outputs.map((output, index): HostTensor => {
    const shape = shapeOf(output);
    const { loss } = spec.outputs[index];
    if (loss.kind !== 'builtin' || loss.name !== 'sparseCategoricalCrossentropy')
      return { dtype: 'float32', shape, data: uniform('targets', index, sizeOf(shape)) };
    const classes = shape[shape.length - 1];
    const labels = uniform('targets', index, sizeOf(shape.slice(0, -1)));
    return {
      dtype: 'int32',
      shape: shape.slice(0, -1),
      data: Int32Array.from(labels, (value) => Math.floor(value * classes)),
    };
  });
  return { x, y, sampleWeights: y.map(() => null) };
}

/**
 * Computes the canary shard twice: shard 0 of step 0 of a batch of its rows.
 * @returns null if the model cannot be run on such data, or gives no finite numbers
 * @throws LockstepError NOT_DETERMINISTIC if the two computations differ in a bit
 */
export async function computeCanary(
  program: Pick<ShardProgram, 'setWeights' | 'train'>,
  { weights, data, rows }: { weights: Float32Array; data: () => ShardData; rows: number },
  clock: Clock,
): Promise<Canary | null> {
  const compute = async (): Promise<Canary | null> => {
    try {
      const task = { step: 0, shard: 0, batchRows: rows, data: data() };
      const startedMs = clock.nowMs();
      const partial = await program.train(task);
      const ms = clock.nowMs() - startedMs;
      return hasFiniteNumbers(partial) ? { sha256: sha256Of(partial), ms } : null;
    } catch (error) {
      if (error instanceof InvariantError) throw error;
      // A model that wants other data, or an error that the first real shard will meet with the real data.
      return null;
    }
  };
  program.setWeights(weights);
  const first = await compute();
  const second = first === null ? null : await compute();
  if (first === null || second === null || first.sha256 === second.sha256) return second;
  throw new LockstepError('NOT_DETERMINISTIC', 'the same shard, computed twice, gave different bits', {
    hint: 'Run `lockstep doctor`. A defective device does this, and so does a layer or loss that draws random numbers of its own.',
  });
}

function hasFiniteNumbers({ gradient, sums }: ShardPartial): boolean {
  return gradient.every(Number.isFinite) && sums.every(Number.isFinite);
}

function sha256Of(partial: ShardPartial): string {
  const hash = createHash('sha256');
  for (const piece of encodePartial(partial).payload) hash.update(piece);
  return hash.digest('hex');
}
