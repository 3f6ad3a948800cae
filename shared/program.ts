import type { ShardPartial } from './partial.js';
import type { HostTensor } from './tensors.js';

/**
 * A function the worker needs: one of Lockstep's own, by Keras name and parameters, or one that the job file
 * defines, found by `key` in the worker's own copy of it. Code never travels.
 */
export type FunctionRef =
  | {
      readonly kind: 'builtin';
      readonly name: string;
      readonly params: Readonly<Record<string, number | boolean>>;
    }
  | { readonly kind: 'job'; readonly key: string; readonly name: string };

export interface OutputSpec {
  readonly name: string;
  readonly loss: FunctionRef;
  readonly lossWeight: number;
}

export interface MetricSpec {
  /** Index into `outputs`. */
  readonly output: number;
  readonly metric: FunctionRef;
  /** Whether sample weights enter (Keras's `weightedMetrics`). */
  readonly weighted: boolean;
  /** Name in logs and history without the output's prefix, e.g. `accuracy`. */
  readonly label: string;
}

/** Everything besides weights and data that a worker needs to compute the shards of a run. Plain data. */
export interface ProgramSpec {
  /** `model.toJSON(null, false)`: class names and configs. */
  readonly topology: unknown;
  readonly frozenLayers: readonly string[];
  readonly outputs: readonly OutputSpec[];
  readonly metrics: readonly MetricSpec[];
  /** The run's seed; dropout and noise derive from it, the step and the shard. */
  readonly seed: number;
}

/** One shard's share of a batch. `sampleWeights` has one entry per output: float32[rows] or null. */
export interface ShardData {
  readonly x: readonly HostTensor[];
  readonly y: readonly HostTensor[];
  readonly sampleWeights: readonly (HostTensor | null)[];
}

export interface ShardTask {
  /** Global step, counted from 0 over the whole run. */
  readonly step: number;
  readonly shard: number;
  /** Rows of the whole batch: the loss of each output is divided by this times its elements per row. */
  readonly batchRows: number;
  readonly data: ShardData;
}

/**
 * Computes shards. The port between the trainer and whatever executes a model: op by op, or compiled.
 * The same weights and task give the same bits, in any process with the same fingerprint.
 */
export interface ShardProgram {
  /** @param flat float32[totalSize] in manifest order; lent until the next weights: a backend may keep it uncopied */
  setWeights(flat: Float32Array): void;
  /**
   * The shard's summand of the batch's mean gradient, with its sums and BatchNorm moments. Training mode.
   * Shard 0 adds the regularisation losses.
   */
  train(task: ShardTask): Promise<ShardPartial>;
  /**
   * Gives back the memory of a gradient that it made and that nobody reads any more: a later one may be written there.
   * Absent: it makes none.
   */
  recycle?(gradient: Float32Array): void;
  /** Loss and metric sums in inference mode; gradient and moments are empty. */
  evaluate(task: ShardTask): Promise<ShardPartial>;
  /** The model's outputs for the rows of `x`, in inference mode. */
  predict(x: readonly HostTensor[]): Promise<HostTensor[]>;
  dispose(): void;
}
