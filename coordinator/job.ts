import type * as tf from '@tensorflow/tfjs';
import type { JobFunctions, LossFunction, MetricFunction } from '../shared/job-functions.js';
import type { FunctionRef } from '../shared/program.js';
import type { Random } from '../shared/random.js';
import type { Callback } from './callbacks/callback.js';
import type { Dataset, StreamDataset } from './data/dataset.js';
import type { NonFinitePolicy } from './loop/training-plan.js';
import type { OptimizerConfig, OptimizerName } from './optimizer/optimizer.js';

/** What a job's functions are given. */
export interface JobContext {
  /** The folder of `--data`, or null. */
  readonly dataDir: string | null;
  readonly seed: number;
  /** A generator of the job's own, seeded from the run's seed. */
  readonly rng: Random;
}

export type LossOption = string | FunctionRef | LossFunction;
export type MetricOption = string | FunctionRef | MetricFunction;
/** One for a model with one output; a list or a record by output name for several. */
export type PerOutput<T> = T | readonly T[] | Readonly<Record<string, T>>;

export interface JobData {
  readonly train: Dataset | StreamDataset;
  readonly validation?: Dataset | StreamDataset;
}

/** What to train. The default export of a job file, made with `defineJob`. */
export interface Job {
  /** Builds the model. `Math.random` is seeded meanwhile, so the initial weights follow from the run's seed. */
  readonly model: (context: JobContext) => tf.LayersModel | Promise<tf.LayersModel>;
  readonly data: (context: JobContext) => JobData | Promise<JobData>;
  readonly loss: PerOutput<LossOption>;
  /** Default: all 1. */
  readonly lossWeights?: readonly number[] | Readonly<Record<string, number>>;
  readonly optimizer: OptimizerConfig | OptimizerName;
  readonly metrics?:
    | readonly MetricOption[]
    | Readonly<Record<string, MetricOption | readonly MetricOption[]>>;
  readonly weightedMetrics?: Job['metrics'];
  /** Rows of the global batch. Default 32. */
  readonly batchSize?: number;
  /** Default 1. */
  readonly epochs?: number;
  readonly initialEpoch?: number;
  readonly stepsPerEpoch?: number;
  /** Default true. */
  readonly shuffle?: boolean;
  /** Records a stream is shuffled within. Default 1,024. */
  readonly shuffleBuffer?: number;
  readonly classWeight?: Readonly<Record<number, number>>;
  /** The last fraction of `train`, before shuffling, in (0, 1). */
  readonly validationSplit?: number;
  /** Default: `batchSize`. */
  readonly validationBatchSize?: number;
  /** Validate every so many epochs, or after the epochs listed. Default 1. */
  readonly validationFreq?: number | readonly number[];
  readonly callbacks?: readonly Callback[] | ((context: JobContext) => readonly Callback[]);
  /** The share of shards, from 0 to 1, that two workers compute and that must agree. Default: the cluster's, else 0. */
  readonly auditFraction?: number;
  /** Default: the larger of 4 and the next power of two that is at least the number of workers. */
  readonly shards?: number;
  /** Default 0. */
  readonly seed?: number;
  readonly checkpoint?: CheckpointOptions;
  /**
   * What to do about a step whose loss or gradient holds NaN or Inf: `stop` the run, or `skip` the step: its data is
   * consumed, and nothing else changes. Default `stop`.
   */
  readonly onNonFinite?: NonFinitePolicy;
}

export interface CheckpointOptions {
  /** Also every so many steps. Default: at the ends of epochs only. */
  readonly everySteps?: number;
  /** Also when so many seconds have passed. */
  readonly everySeconds?: number;
  /** Checkpoints kept. Default 2. */
  readonly keepLast?: number;
}

const brand = Symbol.for('lockstep.job');

/** Marks an object as a job, checks its types at compile time and gives it back. */
export function defineJob(job: Job): Job {
  return Object.defineProperty({ ...job }, brand, { value: true });
}

export function isJob(value: unknown): value is Job {
  return typeof value === 'object' && value !== null && brand in value;
}

/** A job read from its file. */
export interface LoadedJob {
  readonly job: Job;
  /** Absolute path. */
  readonly path: string;
  readonly sha256: string;
  /** The job's own losses and metrics, by key. */
  readonly functions: JobFunctions;
  /** Whether workers must load the file too: it defines layers, losses or metrics of its own. */
  readonly hasCode: boolean;
}
