import { randomBytes } from 'node:crypto';
import type * as tf from '@tensorflow/tfjs';
import { LockstepError } from '../../shared/errors.js';
import { flatten } from '../../shared/manifest.js';
import { manifestHash } from '../../shared/manifest-hash.js';
import { planShards } from '../../shared/tree.js';
import type { Callback } from '../callbacks/callback.js';
import type { Snapshot } from '../checkpoint/snapshot.js';
import type { ClusterAccess } from '../cluster.js';
import { arraySource } from '../data/array-source.js';
import { type BatchSignature, checkBatch, checkDataset } from '../data/check.js';
import { applyClassWeights } from '../data/class-weights.js';
import type { BatchSource, Dataset, StreamDataset } from '../data/dataset.js';
import { streamSource } from '../data/stream-source.js';
import { constraintsOf } from '../optimizer/constraints.js';
import type { OptimizerConfig, Slots } from '../optimizer/optimizer.js';
import type { ReceiptListener } from '../receipts/receipts.js';
import { checkAuditFraction } from './audited-shards.js';
import { type CanonicalModel, canonicalModel } from './canonical-model.js';
import { checkBatchNorm } from './check-batch-norm.js';
import { checkWhole } from './check-whole.js';
import { waitForData } from './data-wait.js';
import { ModelState } from './model-state.js';
import { describeProgram, type Objective } from './program.js';
import { receiptsFor } from './receipts-for.js';
import type { RunCheckpoints } from './run-checkpoints.js';
import { checkResumable } from './run-snapshot.js';
import { settingsOf } from './settings.js';
import { signatureOf } from './signature.js';
import type { NonFinitePolicy, TrainingPlan } from './training-plan.js';

/** What `fit` and `trainJob` ask for; the same for both. */
export interface TrainingRequest {
  readonly model: tf.LayersModel;
  readonly objective: Objective;
  readonly optimizer: OptimizerConfig;
  /** What an earlier fit left of the optimizer, to continue with. */
  readonly continued: {
    readonly slots: ReadonlyMap<string, Slots>;
    readonly iteration: number;
    /** The constant that a callback put in the schedule's place, or null. */
    readonly learningRate: number | null;
  } | null;
  readonly train: Dataset | StreamDataset;
  readonly validation: Dataset | StreamDataset | null;
  /** Null: 32, or all rows if there are fewer. */
  readonly batchSize: number | null;
  readonly validationBatchSize: number | null;
  readonly validationFreq: number | readonly number[];
  readonly epochs: number;
  readonly initialEpoch: number;
  readonly stepsPerEpoch: number | null;
  readonly shuffle: boolean;
  readonly shuffleBuffer: number;
  readonly classWeight: Readonly<Record<number, number>> | null;
  /** Null: as many as design and batch allow; or those of the checkpoint. */
  readonly shards: number | null;
  readonly seed: number;
  /** The share of shards that two workers compute, to compare their bits. */
  readonly auditFraction: number;
  readonly callbacks: readonly Callback[];
  readonly checkpoints: RunCheckpoints | null;
  readonly resume: Snapshot | null;
  readonly maxSteps: number | null;
  readonly signal: AbortSignal | null;
  readonly onNonFinite: NonFinitePolicy;
  /** Whether the receipts tell of each shard's gradient. */
  readonly recordShards: boolean;
  readonly onReceipt: ReceiptListener | null;
  /** Null: 30 s. */
  readonly graceMs: number | null;
}

/** After a signal, the step in flight has this long to finish. */
const defaultGraceMs = 30_000;

export function isStream(data: Dataset | StreamDataset): data is StreamDataset {
  return 'open' in data;
}

/** S: the larger of 4 and the next power of two that is at least the workers, but not above the batch. */
export function defaultShards(workers: number, batchSize: number): number {
  let shards = 4;
  while (shards < workers) shards *= 2;
  while (shards > batchSize) shards /= 2;
  return shards;
}

/**
 * Batches of evaluation data: in order, and never larger than the data.
 * @throws LockstepError DATA_EMPTY
 */
export function evaluationSource(
  data: Dataset | StreamDataset,
  batchSize: number,
  seed: number,
): BatchSource {
  if (isStream(data)) return streamSource(data, { batchSize, seed, shuffleBuffer: 1 });
  if (data.length === 0) {
    throw new LockstepError('DATA_EMPTY', 'the dataset holds no rows', {
      hint: 'Look at how it is read or split.',
    });
  }
  return arraySource(data, { batchSize: Math.min(batchSize, data.length), seed, shuffle: false });
}

/**
 * Resolves and checks everything before the first step.
 * @throws LockstepError for whatever cannot be trained; nothing has been started then
 */
export async function buildPlan(
  access: ClusterAccess,
  request: TrainingRequest,
): Promise<{ plan: TrainingPlan; canonical: CanonicalModel }> {
  const { model, train, resume, seed, emit } = { ...request, emit: access.emit };
  checkCounts(request);
  const canonical = canonicalModel(model);
  const { manifest } = canonical;
  const batchSize = request.batchSize ?? Math.min(32, (isStream(train) ? null : train.length) || 32);
  const shards = request.shards ?? resume?.run.shards ?? defaultShards(access.workers, batchSize);
  const hasJob = access.options.job !== undefined;
  const program = describeProgram(model, canonical, request.objective, { seed, hasJob });
  const { stepsPerEpoch, shuffle, shuffleBuffer, classWeight, validation, validationBatchSize } = request;
  const samples = train.length ?? null;
  const settings = settingsOf(program, {
    classWeight,
    shuffle: shuffle && isStream(train) ? shuffleBuffer : shuffle,
    stepsPerEpoch,
    samples,
  });
  if (resume !== null) {
    checkResumable(resume, {
      manifestHash: manifestHash(manifest),
      program,
      shards: request.shards,
      batchSize,
      seed,
      backend: access.options.backend ?? 'auto',
      optimizer: request.optimizer,
      settings,
    });
  }
  const signature = signatureOf(model, program);
  const checked = checkData(request, signature, batchSize, shards);
  const onWaiting = (reason: string): void => emit({ type: 'waiting', reason });
  await waitForData(checked, { what: 'the data, to check it', signal: null, onWaiting });
  const rows = isStream(train) ? null : train.length;
  checkBatchNorm(model, manifest, { rows, batchSize, shards });
  announce(access, manifest.batchNorms.length > 0, shards, batchSize);

  const state = new ModelState({
    manifest,
    flat: flatten(manifest, await readWeights(model)),
    optimizer: request.optimizer,
    constraints: constraintsOf(model),
  });
  if (request.continued !== null) {
    state.restore({ ...request.continued, flat: state.weights.flat });
  }
  const limit = stepsPerEpoch === null ? {} : { stepsPerEpoch };
  const source = isStream(train)
    ? streamSource(train, { batchSize, seed, shuffleBuffer: shuffle ? shuffleBuffer : 1, ...limit })
    : arraySource(train, { batchSize, seed, shuffle, ...limit });
  const check = (batch: Parameters<typeof checkBatch>[0]) => {
    checkBatch(batch, signature);
    return batch;
  };
  const runId = resume?.run.runId ?? randomBytes(8).toString('hex');
  return {
    canonical,
    plan: {
      runId,
      program,
      settings,
      state,
      source,
      samples,
      validation:
        validation === null ? null : evaluationSource(validation, validationBatchSize ?? batchSize, seed),
      validationFreq: request.validationFreq,
      prepare: classWeight === null ? check : (batch) => applyClassWeights(check(batch), classWeight),
      prepareValidation: check,
      initialEpoch: request.initialEpoch,
      epochs: request.epochs,
      shards,
      seed,
      auditFraction: request.auditFraction,
      callbacks: request.callbacks,
      checkpoints: request.checkpoints,
      resume,
      maxSteps: request.maxSteps,
      signal: request.signal,
      graceMs: request.graceMs ?? defaultGraceMs,
      onEvent: emit,
      onNonFinite: request.onNonFinite,
      receipts: await receiptsFor(request, { runId, seed, shards, batchSize }, state, emit),
    },
  };
}

/** Copies of the model's weights, in the order of `getWeights()`. */
export async function readWeights(model: tf.LayersModel): Promise<Float32Array[]> {
  return Promise.all(model.getWeights().map(async (weight) => (await weight.data()).slice() as Float32Array));
}

function checkCounts(request: TrainingRequest): void {
  const { epochs, initialEpoch } = request;
  checkWhole('epochs', epochs, 1);
  checkWhole('initialEpoch', initialEpoch, 0);
  checkWhole('batchSize', request.batchSize, 1);
  checkWhole('validationBatchSize', request.validationBatchSize, 1);
  checkWhole('stepsPerEpoch', request.stepsPerEpoch, 1);
  checkWhole('shards', request.shards, 1);
  checkWhole('seed', request.seed, 0);
  checkAuditFraction(request.auditFraction);
  checkWhole('graceMs', request.graceMs, 0);
  for (const frequency of [request.validationFreq].flat()) checkWhole('validationFreq', frequency, 1);
  if (initialEpoch >= epochs) {
    throw new LockstepError(
      'BAD_OPTION',
      `initialEpoch is ${initialEpoch}, but training ends at epoch ${epochs}`,
      {
        hint: 'epochs is the number of the last epoch, as in Keras, not the number of epochs to add.',
      },
    );
  }
}

async function checkData(
  { train, validation, validationBatchSize }: TrainingRequest,
  signature: BatchSignature,
  batchSize: number,
  shards: number,
): Promise<void> {
  if (isStream(train)) {
    if (shards > batchSize) tooManyShards(shards, batchSize);
  } else await checkDataset(train, signature, { batchSize, shards });
  if (validation === null || isStream(validation)) return;
  const size = Math.min(validationBatchSize ?? batchSize, validation.length);
  await checkDataset(validation, signature, { batchSize: size, shards: 1 });
}

function tooManyShards(shards: number, batchSize: number): never {
  throw new LockstepError('TOO_MANY_SHARDS', `${shards} shards of a batch of ${batchSize} samples`, {
    hint: `Use at most ${batchSize} shards, or a larger batch.`,
  });
}

function announce(
  { workers, emit }: ClusterAccess,
  hasBatchNorm: boolean,
  shards: number,
  batchSize: number,
): void {
  const { present } = planShards(batchSize, batchSize, shards);
  if (workers > present) {
    emit({
      type: 'warning',
      message: `${workers} workers share ${present} shards: ${workers - present} will be idle. Raise --shards (a new run) to use them`,
    });
  }
  if (hasBatchNorm && shards > 1) {
    emit({
      type: 'notice',
      message:
        `BatchNormalization normalises each of the ${shards} shards by itself (as PyTorch DDP does per GPU); ` +
        'its running statistics are those of the whole batch. --shards 1 is exactly model.fit',
    });
  }
}
