import * as tf from '@tensorflow/tfjs';
import { weightsSha256 } from '../../coordinator/checkpoint/hashes.js';
import type { Snapshot } from '../../coordinator/checkpoint/snapshot.js';
import type { Batch, Dataset } from '../../coordinator/data/dataset.js';
import { buildPlan, type TrainingRequest } from '../../coordinator/loop/build-plan.js';
import { openCheckpoints } from '../../coordinator/loop/open-checkpoints.js';
import { runPlan } from '../../coordinator/loop/run-plan.js';
import type { TrainingOutcome } from '../../coordinator/loop/trainer.js';
import { adam } from '../../coordinator/optimizer/configs.js';
import { digestsOfState } from '../../coordinator/receipts/state-digests.js';
import { Random } from '../../shared/random.js';
import { gatherRows, type HostTensor } from '../../shared/tensors.js';
import { InProcessCluster, type InProcessClusterOptions } from './in-process-cluster.js';

export const features = 4;
export const batchSize = 16;
export const rows = 54;
/** 16, 16, 16 and 6 rows: of the last batch, shards of 4 leave one ragged and two absent. */
export const stepsPerEpoch = 4;

/** `y` is a noisy function of `x`; row `i` is the same however many rows there are. */
export function tinyData(length = rows): Dataset {
  const random = new Random(7);
  const x = new Float32Array(length * features);
  const y = new Float32Array(length);
  for (let row = 0; row < length; row++) {
    for (let i = 0; i < features; i++) x[row * features + i] = random.normal();
    y[row] = 2 * x[row * features] - x[row * features + 1] ** 2 + 0.1 * random.normal();
  }
  return datasetOf(
    { dtype: 'float32', shape: [length, features], data: x },
    { dtype: 'float32', shape: [length, 1], data: y },
  );
}

export function datasetOf(x: HostTensor, y: HostTensor): Dataset {
  return {
    length: x.shape[0],
    batch: (indices) => ({ x: [gatherRows(x, indices)], y: [gatherRows(y, indices)] }),
  };
}

/** The dataset, telling `see` which rows are read. */
export function watched(dataset: Dataset, see: (indices: Int32Array) => void): Dataset {
  return {
    length: dataset.length,
    batch(indices): Batch | Promise<Batch> {
      see(indices);
      return dataset.batch(indices);
    },
  };
}

/** Dense, batch normalisation, dropout: what depends on shards, on steps and on the order of sums. */
export function tinyModel(seed = 1): tf.LayersModel {
  const kernelInitializer = tf.initializers.glorotUniform({ seed });
  return tf.sequential({
    layers: [
      tf.layers.dense({ units: 6, activation: 'relu', inputShape: [features], kernelInitializer }),
      tf.layers.batchNormalization({ momentum: 0.9 }),
      tf.layers.dropout({ rate: 0.25 }),
      tf.layers.dense({ units: 1, kernelInitializer: tf.initializers.glorotUniform({ seed: seed + 1 }) }),
    ],
  });
}

/** Without layers whose weights move by themselves, or that draw random numbers. */
export function plainModel(): tf.LayersModel {
  const kernelInitializer = tf.initializers.glorotUniform({ seed: 5 });
  return tf.sequential({
    layers: [tf.layers.dense({ units: 1, inputShape: [features], kernelInitializer })],
  });
}

export interface TrainingRun extends Partial<TrainingRequest> {
  /** The run's folder; with `resume` it goes on from what is there. */
  readonly directory?: string;
  readonly resumes?: boolean;
  readonly everySteps?: number;
  /** Changes what was read from the checkpoint before it is restored. */
  readonly tamper?: (snapshot: Snapshot) => void;
}

export interface Trained {
  readonly outcome: TrainingOutcome;
  readonly weightsSha256: string;
  readonly stateSha256: string;
  /** Digest of the weights, after every step. */
  readonly steps: readonly string[];
  /** The same of the weights at the end. */
  readonly weightsDigest: string;
}

/** Trains on the cluster: five epochs of the tiny net, unless the run says otherwise. */
export async function train(
  { access }: Pick<InProcessCluster, 'access'>,
  { directory, resumes = false, everySteps, tamper, ...request }: TrainingRun = {},
): Promise<Trained> {
  const folder =
    directory === undefined
      ? null
      : { directory, resume: resumes, ...(everySteps === undefined ? {} : { everySteps }) };
  const opened = await openCheckpoints(folder, access);
  const steps: string[] = [];
  if (opened?.resume) tamper?.(opened.resume);
  try {
    const { plan, canonical } = await buildPlan(access, {
      model: tinyModel(),
      objective: { loss: 'meanSquaredError', metrics: ['mae'] },
      optimizer: adam({ learningRate: 0.05, globalClipNorm: 1 }),
      continued: null,
      train: tinyData(),
      validation: null,
      batchSize,
      validationBatchSize: null,
      validationFreq: 1,
      epochs: 5,
      initialEpoch: 0,
      stepsPerEpoch: null,
      shuffle: true,
      shuffleBuffer: 1,
      classWeight: null,
      shards: 4,
      seed: 3,
      auditFraction: 0,
      callbacks: [],
      checkpoints: opened?.checkpoints ?? null,
      resume: opened?.resume ?? null,
      maxSteps: null,
      signal: null,
      onNonFinite: 'stop',
      recordShards: false,
      onReceipt(receipt) {
        if ('data' in receipt) steps.push(receipt.weights + receipt.stats);
      },
      graceMs: null,
      ...request,
    });
    const outcome = await runPlan(access, canonical, plan);
    const { manifest, weights } = plan.state;
    const digests = digestsOfState(plan.state);
    return {
      outcome,
      weightsSha256: weightsSha256(manifest, weights.flat),
      stateSha256: outcome.stateSha256,
      steps,
      weightsDigest: digests.weights + digests.stats,
    };
  } finally {
    await opened?.release();
  }
}

/** Trains on a cluster of its own. */
export async function trainOn(cluster: InProcessClusterOptions, run: TrainingRun = {}): Promise<Trained> {
  const own = new InProcessCluster(cluster);
  try {
    return await train(own, run);
  } finally {
    own.close();
  }
}
