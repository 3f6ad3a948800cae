import * as tf from '@tensorflow/tfjs';
import { LockstepError } from '../../shared/errors.js';
import { unflatten } from '../../shared/manifest.js';
import type { History } from '../callbacks/history.js';
import { type CallbackOption, callbacksOf } from '../callbacks/tfjs-callback.js';
import type { ClusterAccess } from '../cluster.js';
import { type ArrayData, type ArrayInput, fromArrays } from '../data/array-dataset.js';
import type { Dataset, StreamDataset } from '../data/dataset.js';
import { splitDataset } from '../data/subset.js';
import type { RunListener } from '../events.js';
import type { CheckpointOptions, Job, LossOption, PerOutput } from '../job.js';
import { fromName, fromTfjs } from '../optimizer/from-tfjs.js';
import type { Optimizer, OptimizerConfig, OptimizerName } from '../optimizer/optimizer.js';
import { buildPlan, isStream, type TrainingRequest } from './build-plan.js';
import { checkFitData, checkOptions } from './check-fit.js';
import { exclusively } from './exclusively.js';
import { type OpenedCheckpoints, openCheckpoints } from './open-checkpoints.js';
import type { Objective } from './program.js';
import { runPlan } from './run-plan.js';
import type { NonFinitePolicy } from './training-plan.js';

/** Rows to train on: arrays or tensors, or a dataset. */
export type FitData = ArrayData | Dataset | StreamDataset;

/** x, y and sample weights. */
export type ValidationList =
  | readonly [x: ArrayInput, y: ArrayInput]
  | readonly [x: ArrayInput, y: ArrayInput, sampleWeight: ArrayInput];

/** The options of `model.fit`, and those that it lacks. */
export interface FitOptions {
  /** The number of the last epoch. Default 1. */
  readonly epochs?: number;
  /** Rows of the global batch, over all workers. Default 32. */
  readonly batchSize?: number;
  /** Default 0. */
  readonly initialEpoch?: number;
  readonly stepsPerEpoch?: number;
  /** Default true. */
  readonly shuffle?: boolean;
  /** Records a stream is shuffled within. Default 1,024. */
  readonly shuffleBuffer?: number;
  /** The last fraction of the data, before shuffling, in (0, 1). */
  readonly validationSplit?: number;
  /** As the data, or in a list as `model.fit` takes it. */
  readonly validationData?: FitData | ValidationList;
  /** Default: `batchSize`. */
  readonly validationBatchSize?: number;
  readonly validationFreq?: number | readonly number[];
  readonly classWeight?: Readonly<Record<number, number>>;
  readonly callbacks?: CallbackOption | readonly CallbackOption[];
  /** Default: the larger of 4 and the next power of two that is at least the workers. */
  readonly shards?: number;
  /** Default 0. */
  readonly seed?: number;
  /** The share of shards, from 0 to 1, that two workers compute and that must agree. Default: the cluster's, else 0. */
  readonly auditFraction?: number;
  /** In place of what the model was compiled with. */
  readonly optimizer?: OptimizerConfig | OptimizerName;
  readonly loss?: PerOutput<LossOption>;
  readonly lossWeights?: Job['lossWeights'];
  readonly metrics?: Job['metrics'];
  readonly weightedMetrics?: Job['metrics'];
  /** Saves the run so that it can be resumed. */
  readonly checkpoint?: CheckpointOptions & {
    readonly directory: string;
    /** Continue from the newest checkpoint in the directory. Default false. */
    readonly resume?: boolean;
  };
  /** What to do about a step whose loss or gradient holds NaN or Inf. Default `stop`. */
  readonly onNonFinite?: NonFinitePolicy;
  /** Whether the receipts in the checkpoint folder tell of each shard's gradient. Default false. */
  readonly recordShards?: boolean;
  /** Ends the training after the step in flight, as `stopTraining` of a callback does, but to be resumed. */
  readonly signal?: AbortSignal;
  /**
   * How long that step may take. Then it is given up, the run ends at the last committed step, and the cluster can
   * do no more work. Default 30,000.
   */
  readonly graceMs?: number;
  readonly onEvent?: RunListener;
}

interface Compiled {
  readonly loss?: PerOutput<LossOption>;
  readonly metrics?: Job['metrics'];
  readonly optimizer?: tf.Optimizer;
}

/** What the model was compiled with, unless the options say otherwise. @throws LockstepError BAD_OPTION */
export function objectiveOf(model: tf.LayersModel, options: Partial<Objective>): Objective {
  const compiled = model as unknown as Compiled;
  const loss = options.loss ?? compiled.loss;
  if (loss === undefined) {
    throw new LockstepError('BAD_OPTION', 'the model is not compiled', {
      hint: "Call model.compile({ optimizer: 'adam', loss: '…', metrics: ['accuracy'] }) first.",
    });
  }
  const { lossWeights, weightedMetrics, metrics = compiled.metrics ?? [] } = options;
  return { loss, lossWeights, weightedMetrics, metrics: typeof metrics === 'string' ? [metrics] : metrics };
}

interface EarlierFit {
  /** What the model was compiled with then. */
  readonly key: unknown;
  readonly optimizer: Optimizer;
  readonly iteration: number;
  /** The constant that a callback put in the schedule's place, or null. */
  readonly learningRate: number | null;
}

/** What an earlier fit left of a model's optimizer. */
const earlierFits = new WeakMap<tf.LayersModel, EarlierFit>();

function optimizerOf(
  model: tf.LayersModel,
  option: FitOptions['optimizer'],
): { key: unknown; config: OptimizerConfig } {
  if (typeof option === 'string') return { key: option, config: fromName(option) };
  if (option !== undefined) return { key: option, config: option };
  const { optimizer } = model as unknown as Compiled;
  if (optimizer !== undefined) return { key: optimizer, config: fromTfjs(optimizer) };
  throw new LockstepError('BAD_OPTION', 'the model has no optimizer', {
    hint: "Call model.compile({ optimizer: 'adam', … }) first, or pass `optimizer`.",
  });
}

export function datasetOf(data: FitData, model: tf.LayersModel, what = 'the data'): Dataset | StreamDataset {
  checkFitData(what, data);
  if ('x' in data) {
    return fromArrays(data, { inputNames: model.inputNames, outputNames: model.outputNames });
  }
  return data;
}

/** What the fit before this one left, if it was with the same optimizer; a rate that was set since then counts. */
function continuedFrom(
  earlier: EarlierFit | undefined,
  key: unknown,
  { learningRate }: OptimizerConfig,
): TrainingRequest['continued'] {
  if (earlier === undefined || earlier.key !== key) return null;
  const { optimizer, iteration } = earlier;
  const isSame = optimizer.config.learningRate === learningRate;
  return { slots: optimizer.slots(), iteration, learningRate: isSame ? earlier.learningRate : null };
}

/** The work of `Cluster.fit`. */
export function fitModel(
  access: ClusterAccess,
  model: tf.LayersModel,
  data: FitData,
  options: FitOptions,
): Promise<History> {
  return exclusively(access, 'fit', async () => {
    checkFitData('the data', data);
    checkOptions('fit', options);
    const unsubscribe = options.onEvent === undefined ? () => {} : access.subscribe(options.onEvent);
    try {
      const opened = await openCheckpoints(options.checkpoint ?? null, access);
      try {
        return await fitWith(access, model, data, options, opened);
      } finally {
        await opened?.release();
      }
    } finally {
      unsubscribe();
    }
  });
}

async function fitWith(
  access: ClusterAccess,
  model: tf.LayersModel,
  data: FitData,
  options: FitOptions,
  opened: OpenedCheckpoints | null,
): Promise<History> {
  const { train, validation } = datasetsOf(model, data, options);
  const { key, config } = optimizerOf(model, options.optimizer);
  const { plan, canonical } = await buildPlan(access, {
    model,
    objective: objectiveOf(model, options),
    optimizer: config,
    continued: continuedFrom(earlierFits.get(model), key, config),
    train,
    validation,
    batchSize: options.batchSize ?? null,
    validationBatchSize: options.validationBatchSize ?? null,
    validationFreq: options.validationFreq ?? 1,
    epochs: options.epochs ?? 1,
    initialEpoch: options.initialEpoch ?? 0,
    stepsPerEpoch: options.stepsPerEpoch ?? null,
    shuffle: options.shuffle ?? true,
    shuffleBuffer: options.shuffleBuffer ?? 1_024,
    classWeight: options.classWeight ?? null,
    shards: options.shards ?? null,
    seed: options.seed ?? opened?.resume?.run.seed ?? 0,
    auditFraction: options.auditFraction ?? access.options.auditFraction ?? 0,
    callbacks: callbacksOf(options.callbacks, model),
    checkpoints: opened?.checkpoints ?? null,
    resume: opened?.resume ?? null,
    maxSteps: null,
    signal: options.signal ?? null,
    onNonFinite: options.onNonFinite ?? 'stop',
    recordShards: options.recordShards ?? false,
    onReceipt: null,
    graceMs: options.graceMs ?? null,
  });
  try {
    return (await runPlan(access, canonical, plan)).history;
  } finally {
    // Also when it failed: weights, slots and rate of the last committed step belong together.
    const { state } = plan;
    const { optimizer, iteration, fixedLearningRate: learningRate } = state;
    writeWeights(model, unflatten(state.manifest, state.weights.flat));
    earlierFits.set(model, { key, optimizer, iteration, learningRate });
  }
}

function isList(data: FitData | ValidationList): data is ValidationList {
  return Array.isArray(data);
}

function arraysOf([x, y, sampleWeight]: ValidationList): ArrayData {
  return { x, y, ...(sampleWeight === undefined ? {} : { sampleWeight }) };
}

function datasetsOf(model: tf.LayersModel, data: FitData, { validationSplit, validationData }: FitOptions) {
  const train = datasetOf(data, model);
  if (validationData !== undefined) {
    const held = isList(validationData) ? arraysOf(validationData) : validationData;
    return { train, validation: datasetOf(held, model, 'validationData') };
  }
  if (validationSplit === undefined || validationSplit === 0) return { train, validation: null };
  return splitValidation(train, validationSplit);
}

/** The last fraction of the rows, before shuffling, as Keras does. @throws LockstepError BAD_OPTION */
export function splitValidation(
  data: Dataset | StreamDataset,
  fraction: number,
): { train: Dataset; validation: Dataset } {
  if (isStream(data)) {
    throw new LockstepError('BAD_OPTION', 'a stream cannot be split', {
      hint: 'Give validation data of its own instead of validationSplit.',
    });
  }
  const [train, validation] = splitDataset(data, fraction);
  return { train, validation };
}

/** Puts weights, in the order of `getWeights()`, into the caller's model. */
export function writeWeights(model: tf.LayersModel, weights: readonly Float32Array[]): void {
  tf.tidy(() => {
    model.setWeights(model.getWeights().map((weight, index) => tf.tensor(weights[index], weight.shape)));
  });
}
