import * as tf from '@tensorflow/tfjs';
import { invariant, LockstepError } from '../../../shared/errors.js';
import type { JobFunctions } from '../../../shared/job-functions.js';
import { isSparseLoss } from '../../../shared/losses.js';
import type { FunctionRef } from '../../../shared/program.js';
import type { LabelForm, Labels } from '../labels.js';
import { isLossName, jobFunctionOf, lossOf, type PerSample } from '../losses/loss.js';
import * as accuracy from './accuracy.js';
import { type Count, countPrecision, countR2, countRecall } from './counts.js';

/** How a shard computes a metric. */
export type ShardMetric =
  /** Tensor operations give per-sample values, which are averaged. */
  | { readonly kind: 'values'; readonly labels: LabelForm; readonly values: PerSample }
  /** The predictions are read and counted on the host. */
  | { readonly kind: 'counts'; readonly count: Count }
  /** The predictions are read and sent as scores. */
  | { readonly kind: 'scores' };

const dense = (values: PerSample): ShardMetric => ({ kind: 'values', labels: 'dense', values });
const sparse = (values: PerSample): ShardMetric => ({ kind: 'values', labels: 'sparse', values });

const rules = {
  accuracy: ['binaryAccuracy', 'sparseCategoricalAccuracy', 'categoricalAccuracy'],
  crossentropy: ['binaryCrossentropy', 'sparseCategoricalCrossentropy', 'categoricalCrossentropy'],
} as const;

/** `accuracy` and `crossentropy` mean what fits the output's width and the labels' shape, as Keras decides. */
function concreteName(name: string, labels: Labels, width: number): string {
  if (name !== 'accuracy' && name !== 'crossentropy') return name;
  const [binary, sparseName, categorical] = rules[name];
  if (width === 1) return binary;
  return labels.areClassNumbers ? sparseName : categorical;
}

/**
 * The metric that `ref` means for an output with these labels.
 * @param predictions the shape of the output
 */
export function metricOf(
  ref: FunctionRef,
  functions: JobFunctions,
  labels: Labels,
  predictions: readonly number[],
): ShardMetric {
  if (ref.kind === 'job') {
    return { kind: 'values', labels: 'given', values: jobFunctionOf(ref, functions, 'metric') };
  }
  const width = predictions[predictions.length - 1];
  const name = concreteName(ref.name, labels, width);
  const threshold = Number(ref.params.threshold ?? 0.5);
  const k = Number(ref.params.k ?? 5);
  switch (name) {
    case 'binaryAccuracy':
      return dense((yTrue, yPred) => accuracy.binaryAccuracy(yTrue, yPred, threshold));
    case 'categoricalAccuracy':
      return dense(accuracy.categoricalAccuracy);
    case 'sparseCategoricalAccuracy':
      return sparse(accuracy.sparseCategoricalAccuracy);
    case 'topKCategoricalAccuracy':
      return dense((yTrue, yPred) => accuracy.topKCategoricalAccuracy(yTrue, yPred, k));
    case 'sparseTopKCategoricalAccuracy':
      return sparse((yTrue, yPred) => accuracy.sparseTopKCategoricalAccuracy(yTrue, yPred, k));
    case 'precision':
      return { kind: 'counts', count: countPrecision(threshold) };
    case 'recall':
      return { kind: 'counts', count: countRecall(threshold) };
    case 'r2Score':
      if (width !== 1) {
        throw new LockstepError('JOB_INVALID', `r2Score is for outputs one wide, this one is ${width} wide`, {
          hint: 'Give each column an output of its own, or use rootMeanSquaredError.',
        });
      }
      return { kind: 'counts', count: countR2 };
    case 'auc':
      return { kind: 'scores' };
    case 'rootMeanSquaredError':
      return dense(lossNamed('meanSquaredError'));
    case 'cosineProximity':
      return dense(lossNamed('cosineSimilarity'));
    case 'cosineSimilarity':
      return dense((yTrue, yPred) => tf.neg(lossNamed('cosineSimilarity')(yTrue, yPred)));
  }
  invariant(isLossName(name), `no metric is named ${name}`);
  const loss: FunctionRef = { kind: 'builtin', name, params: ref.params };
  return { kind: 'values', labels: isSparseLoss(loss) ? 'sparse' : 'dense', values: lossOf(loss, functions) };
}

function lossNamed(name: string): PerSample {
  return lossOf({ kind: 'builtin', name, params: {} }, new Map());
}
