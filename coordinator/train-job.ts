import * as tf from '@tensorflow/tfjs';
import { LockstepError } from '../shared/errors.js';
import { deriveSeed, Random } from '../shared/random.js';
import { loadModel } from './checkpoint/saved-model.js';
import { CheckpointStore } from './checkpoint/store.js';
import type { Cluster, ClusterAccess } from './cluster.js';
import type { RunListener } from './events.js';
import type { Job, JobContext, JobData, LoadedJob } from './job.js';
import { callbacksOf } from './load-job.js';
import { buildPlan } from './loop/build-plan.js';
import { evaluateModel } from './loop/evaluate-model.js';
import { exclusively } from './loop/exclusively.js';
import { splitValidation } from './loop/fit.js';
import { type OpenedCheckpoints, openCheckpoints } from './loop/open-checkpoints.js';
import { runPlan } from './loop/run-plan.js';
import type { NonFinitePolicy } from './loop/training-plan.js';
import { fromName } from './optimizer/from-tfjs.js';
import type { ReceiptListener } from './receipts/receipts.js';
import { type RunReport, reportOf } from './report.js';

/** What the command line says beside the job. Each option overrides the job's own. */
export interface TrainOptions {
  readonly shards?: number;
  readonly seed?: number;
  readonly epochs?: number;
  readonly batchSize?: number;
  readonly auditFraction?: number;
  readonly dataDir: string | null;
  readonly checkpointDir?: string;
  readonly resume?: boolean;
  /** Ends the run, without an end of the epoch, once so many steps are committed. */
  readonly maxSteps?: number;
  /** When aborted, the step in flight is finished and a checkpoint written. */
  readonly signal?: AbortSignal;
  /** How long that step may take before it is given up. Default 30,000. */
  readonly graceMs?: number;
  readonly onEvent?: RunListener;
  readonly onNonFinite?: NonFinitePolicy;
  /** Whether the receipts tell of each shard's gradient. Default false. */
  readonly recordShards?: boolean;
  /** Called with the receipt of every step, also without a run folder. */
  readonly onReceipt?: ReceiptListener;
}

/**
 * Trains a job on a cluster.
 * @throws LockstepError for a job, data or options that cannot be used, and when the run fails
 */
export async function trainJob(
  cluster: Cluster,
  { job }: LoadedJob,
  options: TrainOptions,
): Promise<RunReport> {
  const { access } = cluster;
  const { onEvent, checkpointDir, resume = false } = options;
  if (resume && checkpointDir === undefined) {
    throw new LockstepError('BAD_OPTION', '--resume needs to know where the run is', {
      hint: 'Add --checkpoint-dir DIR, the folder the run was started with.',
    });
  }
  const directory =
    checkpointDir === undefined ? null : { ...job.checkpoint, directory: checkpointDir, resume };
  return exclusively(access, 'fit', async () => {
    const unsubscribe = onEvent === undefined ? () => {} : access.subscribe(onEvent);
    try {
      const opened = await openCheckpoints(directory, access);
      try {
        return await trainWith(access, job, options, opened);
      } finally {
        await opened?.release();
      }
    } finally {
      unsubscribe();
    }
  });
}

async function trainWith(
  access: ClusterAccess,
  job: Job,
  options: TrainOptions,
  opened: OpenedCheckpoints | null,
): Promise<RunReport> {
  const seed = options.seed ?? opened?.resume?.run.seed ?? job.seed ?? 0;
  const context: JobContext = {
    dataDir: options.dataDir,
    seed,
    rng: new Random(deriveSeed(seed, 'user')),
  };
  const { train, validation } = await dataOf(job, context);
  const model = await buildSeeded(job, context);
  try {
    const { plan, canonical } = await buildPlan(access, {
      model,
      objective: job,
      optimizer: typeof job.optimizer === 'string' ? fromName(job.optimizer) : job.optimizer,
      continued: null,
      train,
      validation: validation ?? null,
      batchSize: options.batchSize ?? job.batchSize ?? null,
      validationBatchSize: job.validationBatchSize ?? null,
      validationFreq: job.validationFreq ?? 1,
      epochs: options.epochs ?? job.epochs ?? 1,
      initialEpoch: job.initialEpoch ?? 0,
      stepsPerEpoch: job.stepsPerEpoch ?? null,
      shuffle: job.shuffle ?? true,
      shuffleBuffer: job.shuffleBuffer ?? 1_024,
      classWeight: job.classWeight ?? null,
      shards: options.shards ?? (opened?.resume ? null : (job.shards ?? null)),
      seed,
      auditFraction: options.auditFraction ?? job.auditFraction ?? access.options.auditFraction ?? 0,
      callbacks: callbacksOf(job, context),
      checkpoints: opened?.checkpoints ?? null,
      resume: opened?.resume ?? null,
      maxSteps: options.maxSteps ?? null,
      signal: options.signal ?? null,
      onNonFinite: options.onNonFinite ?? job.onNonFinite ?? 'stop',
      recordShards: options.recordShards ?? false,
      onReceipt: options.onReceipt ?? null,
      graceMs: options.graceMs ?? null,
    });
    const outcome = await runPlan(access, canonical, plan);
    access.faults?.finish();
    return { ...reportOf(plan, outcome, access.conductor), ...access.faults?.report() };
  } finally {
    model.dispose();
  }
}

/**
 * Loss and metrics of a saved model on the job's validation data (or its training data if it has no other).
 * @throws LockstepError CHECKPOINT_NOT_FOUND, CHECKPOINT_CORRUPT
 */
export async function evaluateJob(
  cluster: Cluster,
  { job }: LoadedJob,
  options: { checkpointDir: string; dataDir: string | null; onEvent?: RunListener },
): Promise<Record<string, number>> {
  const { access } = cluster;
  const unsubscribe = options.onEvent === undefined ? () => {} : access.subscribe(options.onEvent);
  try {
    const found = await new CheckpointStore(options.checkpointDir).readLatest();
    for (const message of found.warnings) access.emit({ type: 'warning', message });
    const { seed, shards, batchSize } = found.snapshot.run;
    const context: JobContext = { dataDir: options.dataDir, seed, rng: new Random(deriveSeed(seed, 'user')) };
    const { train, validation } = await dataOf(job, context);
    const model = await loadModel(found.path);
    const { loss, lossWeights, metrics, weightedMetrics } = job;
    const objective = { loss, lossWeights, metrics: metrics ?? [], weightedMetrics };
    const logs = await evaluateModel(access, model, validation ?? train, { ...objective, shards, batchSize });
    model.dispose();
    return logs;
  } finally {
    unsubscribe();
  }
}

/** The job's data, split as it asks. */
export async function dataOf(job: Job, context: JobContext): Promise<JobData> {
  const data = await job.data(context);
  if (job.validationSplit === undefined || data.validation !== undefined) return data;
  return splitValidation(data.train, job.validationSplit);
}

/**
 * Builds the job's model with `Math.random` seeded, so that initial weights follow from the run's seed. The
 * builder may be asynchronous: at this point nothing else of the run draws random numbers.
 */
export async function buildSeeded(job: Job, context: JobContext): Promise<tf.LayersModel> {
  const original = Math.random;
  Math.random = new Random(deriveSeed(context.seed, 'weights')).next;
  try {
    const model = await job.model(context);
    if (model instanceof tf.LayersModel) return model;
    throw new LockstepError('JOB_INVALID', "the job's model function did not give a tf.LayersModel", {
      hint: "Build it with the same '@tensorflow/tfjs' that Lockstep uses, and return it.",
    });
  } finally {
    Math.random = original;
  }
}
