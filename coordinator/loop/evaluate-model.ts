import * as tf from '@tensorflow/tfjs';
import { invariant } from '../../shared/errors.js';
import { flatten } from '../../shared/manifest.js';
import type { ProgramSpec } from '../../shared/program.js';
import type { HostTensor } from '../../shared/tensors.js';
import type { Logs, Training } from '../callbacks/callback.js';
import { CallbackList } from '../callbacks/callback-list.js';
import { type CallbackOption, callbacksOf } from '../callbacks/tfjs-callback.js';
import type { ClusterAccess } from '../cluster.js';
import { fromArrays } from '../data/array-dataset.js';
import { checkBatch } from '../data/check.js';
import type { Dataset, StreamDataset } from '../data/dataset.js';
import { sgd } from '../optimizer/configs.js';
import { defaultShards, evaluationSource, readWeights } from './build-plan.js';
import { type CanonicalModel, canonicalModel } from './canonical-model.js';
import { checkOptions } from './check-fit.js';
import { checkWhole } from './check-whole.js';
import { evaluateSource, predictSource } from './evaluate.js';
import { exclusively } from './exclusively.js';
import { datasetOf, type FitData, objectiveOf } from './fit.js';
import { ModelState } from './model-state.js';
import { describeProgram, type Objective } from './program.js';
import { prepareWorkers } from './run-plan.js';
import { signatureOf } from './signature.js';
import { type Reachable, trainingFor } from './training-handle.js';

export interface PredictOptions {
  /** Rows per batch over all workers. Default 32. */
  readonly batchSize?: number;
  readonly shards?: number;
  /** Their `onTest…` or `onPredict…` hooks are called. */
  readonly callbacks?: CallbackOption | readonly CallbackOption[];
}

export interface EvaluateOptions extends PredictOptions, Partial<Objective> {}

interface Prepared {
  readonly canonical: CanonicalModel;
  readonly program: ProgramSpec;
  readonly state: ModelState;
  readonly shards: number;
  readonly batchSize: number;
}

async function prepare(
  access: ClusterAccess,
  model: tf.LayersModel,
  objective: Objective,
  options: PredictOptions,
): Promise<Prepared> {
  const { batchSize = 32 } = options;
  checkWhole('batchSize', batchSize, 1);
  const { shards = defaultShards(access.workers, batchSize) } = options;
  checkWhole('shards', shards, 1);
  const canonical = canonicalModel(model);
  const hasJob = access.options.job !== undefined;
  const program = describeProgram(model, canonical, objective, { seed: 0, hasJob });
  const flat = flatten(canonical.manifest, await readWeights(model));
  // Nothing is trained: the state only names the version of the weights.
  const state = new ModelState({ manifest: canonical.manifest, flat, optimizer: sgd(), constraints: [] });
  await prepareWorkers(access, canonical, program);
  return { canonical, program, state, shards, batchSize };
}

/** The work of `Cluster.evaluate`. */
export function evaluateModel(
  access: ClusterAccess,
  model: tf.LayersModel,
  data: FitData,
  options: EvaluateOptions,
): Promise<Logs> {
  return exclusively(access, 'evaluate', async () => {
    checkOptions('evaluate', options);
    return evaluate(access, model, data, options);
  });
}

async function evaluate(
  access: ClusterAccess,
  model: tf.LayersModel,
  data: FitData,
  options: EvaluateOptions,
): Promise<Logs> {
  const dataset = datasetOf(data, model);
  const { program, state, shards, batchSize } = await prepare(
    access,
    model,
    objectiveOf(model, options),
    options,
  );
  const signature = signatureOf(model, program);
  const source = evaluationSource(dataset, batchSize, 0);
  const { callbacks, handle } = hooksOf(access, model, { state, program, source }, options);
  await callbacks.onTestBegin(handle);
  const logs = await evaluateSource(access.conductor, program, {
    source,
    shards,
    weights: state.weights,
    prepare(batch) {
      checkBatch(batch, signature);
      return batch;
    },
    onBatchBegin: (batch) => callbacks.onTestBatchBegin(batch, handle),
    onWaiting: (reason) => access.emit({ type: 'waiting', reason }),
    async onBatchEnd(batch, batchLogs) {
      await callbacks.onTestBatchEnd(batch, { ...batchLogs }, handle);
      access.emit({ type: 'test-batch', batch, batches: source.stepsPerEpoch });
    },
  });
  invariant(logs !== null, 'an evaluation that nobody can interrupt was');
  await callbacks.onTestEnd({ ...logs }, handle);
  return logs;
}

/** The work of `Cluster.predict`. */
export function predictModel(
  access: ClusterAccess,
  model: tf.LayersModel,
  x: FitData | FitDataX,
  options: PredictOptions,
): Promise<tf.Tensor | tf.Tensor[]> {
  return exclusively(access, 'predict', async () => {
    checkOptions('predict', options);
    return predict(access, model, x, options);
  });
}

async function predict(
  access: ClusterAccess,
  model: tf.LayersModel,
  x: FitData | FitDataX,
  options: PredictOptions,
): Promise<tf.Tensor | tf.Tensor[]> {
  const dataset = predictionData(x, model);
  // A prediction has no loss; workers need one to be named. A model that is not built yet has no outputs to list.
  const objective = { loss: 'meanSquaredError' };
  const { program, state, shards, batchSize } = await prepare(access, model, objective, options);
  const signature = { ...signatureOf(model, program), outputs: [] };
  const source = evaluationSource(dataset, batchSize, 0);
  const { callbacks, handle } = hooksOf(access, model, { state, program, source }, options);
  await callbacks.onPredictBegin(handle);
  const outputs = await predictSource(access.conductor, {
    source,
    shards,
    weights: state.weights,
    prepare(batch) {
      const inputs = { x: batch.x, y: [] };
      checkBatch(inputs, signature);
      return inputs;
    },
    onBatchBegin: (batch) => callbacks.onPredictBatchBegin(batch, handle),
    onWaiting: (reason) => access.emit({ type: 'waiting', reason }),
    async onBatchEnd(batch) {
      await callbacks.onPredictBatchEnd(batch, handle);
      access.emit({ type: 'predict-batch', batch, batches: source.stepsPerEpoch });
    },
  });
  await callbacks.onPredictEnd(handle);
  const tensors = outputs.map(toTensor);
  return tensors.length === 1 ? tensors[0] : tensors;
}

/** The callbacks of an evaluation or prediction, and what they get to see. */
function hooksOf(
  { emit }: ClusterAccess,
  model: tf.LayersModel,
  reachable: Pick<Reachable, 'state' | 'program' | 'source'>,
  { callbacks }: PredictOptions,
): { callbacks: CallbackList; handle: Training } {
  const nowhere = {
    step: 0,
    epoch: 0,
    batch: 0,
    cursor: null,
    samplesSeen: 0,
    stopped: false,
    skippedSteps: [],
  };
  const plan = { ...reachable, epochs: 1, validation: null, onEvent: emit };
  return {
    callbacks: new CallbackList(callbacksOf(callbacks, model)),
    handle: trainingFor(plan, { requested: false }, () => nowhere),
  };
}

type FitDataX = Extract<FitData, { x: unknown }>['x'];

function predictionData(x: FitData | FitDataX, model: tf.LayersModel): Dataset | StreamDataset {
  const isDataset =
    typeof x === 'object' && x !== null && (('batch' in x && typeof x.batch === 'function') || 'open' in x);
  if (isDataset) return x as Dataset | StreamDataset;
  const inputs = typeof x === 'object' && x !== null && 'x' in x ? (x as { x: FitDataX }).x : (x as FitDataX);
  return fromArrays({ x: inputs, y: [] }, { inputNames: model.inputNames, outputNames: [] });
}

function toTensor({ data, shape, dtype }: HostTensor): tf.Tensor {
  return tf.tensor(data, [...shape], dtype === 'uint8' ? 'int32' : dtype);
}
