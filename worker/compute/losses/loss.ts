import * as tf from '@tensorflow/tfjs';
import { invariant, LockstepError } from '../../../shared/errors.js';
import type { JobFunctions } from '../../../shared/job-functions.js';
import type { LossName } from '../../../shared/losses.js';
import type { FunctionRef } from '../../../shared/program.js';
import {
  binaryCrossentropy,
  type CrossentropyOptions,
  categoricalCrossentropy,
  kullbackLeiblerDivergence,
  poisson,
  sparseCategoricalCrossentropy,
} from './crossentropy.js';
import { categoricalHinge, hinge, squaredHinge } from './hinge.js';
import * as regression from './regression.js';

/** `(yTrue, yPred) → per-sample values`: `yPred`'s shape without its last axis. */
export type PerSample = (yTrue: tf.Tensor, yPred: tf.Tensor) => tf.Tensor;

type Params = Readonly<Record<string, number | boolean>>;

const crossentropyOptions = (params: Params): CrossentropyOptions => ({
  fromLogits: params.fromLogits === true,
  labelSmoothing: Number(params.labelSmoothing ?? 0),
});

const makers: Readonly<Record<LossName, (params: Params) => PerSample>> = {
  meanSquaredError: () => regression.meanSquaredError,
  meanAbsoluteError: () => regression.meanAbsoluteError,
  meanAbsolutePercentageError: () => regression.meanAbsolutePercentageError,
  meanSquaredLogarithmicError: () => regression.meanSquaredLogarithmicError,
  logcosh: () => regression.logcosh,
  huber: (params) => (yTrue, yPred) => regression.huber(yTrue, yPred, Number(params.delta ?? 1)),
  cosineSimilarity: () => regression.cosineSimilarity,
  squaredHinge: () => squaredHinge,
  hinge: () => hinge,
  categoricalHinge: () => categoricalHinge,
  categoricalCrossentropy: (params) => (yTrue, yPred) =>
    categoricalCrossentropy(yTrue, yPred, crossentropyOptions(params)),
  sparseCategoricalCrossentropy: (params) => (yTrue, yPred) =>
    sparseCategoricalCrossentropy(yTrue, yPred, crossentropyOptions(params)),
  binaryCrossentropy: (params) => (yTrue, yPred) =>
    binaryCrossentropy(yTrue, yPred, crossentropyOptions(params)),
  kullbackLeiblerDivergence: () => kullbackLeiblerDivergence,
  poisson: () => poisson,
};

/** Whether Lockstep has a loss of this name. */
export function isLossName(name: string): name is LossName {
  return Object.hasOwn(makers, name);
}

/** The loss that `ref` names, to be run inside of `tf.tidy`. */
export function lossOf(ref: FunctionRef, functions: JobFunctions): PerSample {
  if (ref.kind === 'job') return jobFunctionOf(ref, functions, 'loss');
  invariant(isLossName(ref.name), `no loss is named ${ref.name}`);
  return makers[ref.name](ref.params);
}

/**
 * A function of the job file, its result checked.
 * @throws LockstepError JOB_INVALID from the returned function if it yields anything but per-sample values
 */
export function jobFunctionOf(
  { key, name }: { key: string; name: string },
  functions: JobFunctions,
  kind: 'loss' | 'metric',
): PerSample {
  const custom = functions.get(key);
  if (custom === undefined) {
    throw new LockstepError(
      'CODE_NOT_PORTABLE',
      `this process does not have the job's ${kind} "${name}" (${key})`,
      {
        hint: 'Start the worker with --job and the same job file.',
      },
    );
  }
  return (yTrue, yPred) => {
    const values: unknown = custom(yTrue, yPred);
    if (!(values instanceof tf.Tensor)) {
      const got = values instanceof Promise ? 'a promise; it must be synchronous' : typeof values;
      throw new LockstepError('JOB_INVALID', `the ${kind} "${name}" returned ${got}`, {
        hint: `Return a tensor with one value per sample, made from yTrue and yPred by TensorFlow.js operations.`,
      });
    }
    if (values.rank === 0 || values.shape[0] !== yPred.shape[0]) {
      const got = values.rank === 0 ? 'one scalar for the batch' : `shape [${values.shape}]`;
      throw new LockstepError(
        'JOB_INVALID',
        `the ${kind} "${name}" returned ${got} for ${yPred.shape[0]} samples, expected per-sample values`,
        { hint: 'Do not average over the samples: sample weights and shards need the value of each one.' },
      );
    }
    return values;
  };
}
