import * as tf from '@tensorflow/tfjs';
import { probabilityEpsilon } from './epsilon.js';

/*
 * Losses between distributions, with Keras's numbers: probabilities are clipped to [1e-7, 1 - 1e-7], and class
 * probabilities are first scaled to sum to 1.
 */

const clipped = (probabilities: tf.Tensor): tf.Tensor =>
  tf.clipByValue(probabilities, probabilityEpsilon, 1 - probabilityEpsilon);

const smoothed = (labels: tf.Tensor, smoothing: number, share: number): tf.Tensor =>
  smoothing === 0 ? labels : tf.add(tf.mul(labels, 1 - smoothing), smoothing * share);

export interface CrossentropyOptions {
  /** Whether predictions are logits instead of probabilities. */
  readonly fromLogits: boolean;
  /** Mixes labels with the uniform distribution. */
  readonly labelSmoothing: number;
}

/** @param yTrue float32, one-hot or a distribution over the last axis */
export function categoricalCrossentropy(
  yTrue: tf.Tensor,
  yPred: tf.Tensor,
  { fromLogits, labelSmoothing }: CrossentropyOptions,
): tf.Tensor {
  const classes = yPred.shape[yPred.rank - 1];
  const logProbabilities = fromLogits
    ? tf.logSoftmax(yPred)
    : tf.log(clipped(tf.div(yPred, tf.sum(yPred, -1, true))));
  return tf.neg(tf.sum(tf.mul(smoothed(yTrue, labelSmoothing, 1 / classes), logProbabilities), -1));
}

/** @param yTrue int32 class numbers, of `yPred`'s shape without its last axis */
export function sparseCategoricalCrossentropy(
  yTrue: tf.Tensor,
  yPred: tf.Tensor,
  { fromLogits }: Pick<CrossentropyOptions, 'fromLogits'>,
): tf.Tensor {
  const oneHot = tf.oneHot(yTrue.toInt(), yPred.shape[yPred.rank - 1]).toFloat();
  if (fromLogits) return tf.neg(tf.sum(tf.mul(oneHot, tf.logSoftmax(yPred)), -1));
  // As Keras does it: clip, then treat the logarithms as logits, which scales to a sum of 1 afterwards.
  const probabilities = clipped(yPred);
  const total = tf.sum(probabilities, -1);
  return tf.sub(tf.log(total), tf.sum(tf.mul(oneHot, tf.log(probabilities)), -1));
}

/** @param yTrue float32, each value 0 or 1 (or between) */
export function binaryCrossentropy(
  yTrue: tf.Tensor,
  yPred: tf.Tensor,
  { fromLogits, labelSmoothing }: CrossentropyOptions,
): tf.Tensor {
  const labels = smoothed(yTrue, labelSmoothing, 0.5);
  if (fromLogits) {
    // max(z, 0) - z·t + log(1 + exp(-|z|)): stable for large |z|.
    const tail = tf.log1p(tf.exp(tf.neg(tf.abs(yPred))));
    return tf.mean(tf.add(tf.sub(tf.relu(yPred), tf.mul(yPred, labels)), tail), -1);
  }
  const probabilities = clipped(yPred);
  const positive = tf.mul(labels, tf.log(probabilities));
  const negative = tf.mul(tf.sub(1, labels), tf.log(tf.sub(1, probabilities)));
  return tf.neg(tf.mean(tf.add(positive, negative), -1));
}

export function kullbackLeiblerDivergence(yTrue: tf.Tensor, yPred: tf.Tensor): tf.Tensor {
  const labels = tf.clipByValue(yTrue, probabilityEpsilon, 1);
  const predictions = tf.clipByValue(yPred, probabilityEpsilon, 1);
  return tf.sum(tf.mul(labels, tf.log(tf.div(labels, predictions))), -1);
}

export function poisson(yTrue: tf.Tensor, yPred: tf.Tensor): tf.Tensor {
  return tf.mean(tf.sub(yPred, tf.mul(yTrue, tf.log(tf.add(yPred, probabilityEpsilon)))), -1);
}
