import * as tf from '@tensorflow/tfjs';
import { probabilityEpsilon } from './epsilon.js';

/*
 * Losses on dense labels: float32 `yTrue` and `yPred` of one shape give that shape without its last axis.
 * The formulas are Keras's (keras/src/losses/losses.py).
 */

export function meanSquaredError(yTrue: tf.Tensor, yPred: tf.Tensor): tf.Tensor {
  return tf.mean(tf.squaredDifference(yPred, yTrue), -1);
}

export function meanAbsoluteError(yTrue: tf.Tensor, yPred: tf.Tensor): tf.Tensor {
  return tf.mean(tf.abs(tf.sub(yPred, yTrue)), -1);
}

export function meanAbsolutePercentageError(yTrue: tf.Tensor, yPred: tf.Tensor): tf.Tensor {
  const relative = tf.div(tf.sub(yTrue, yPred), tf.maximum(tf.abs(yTrue), probabilityEpsilon));
  return tf.mul(100, tf.mean(tf.abs(relative), -1));
}

export function meanSquaredLogarithmicError(yTrue: tf.Tensor, yPred: tf.Tensor): tf.Tensor {
  const logOf = (y: tf.Tensor) => tf.log(tf.add(1, tf.maximum(y, probabilityEpsilon)));
  return tf.mean(tf.squaredDifference(logOf(yPred), logOf(yTrue)), -1);
}

/** log(cosh(e)), written so that it does not overflow. */
export function logcosh(yTrue: tf.Tensor, yPred: tf.Tensor): tf.Tensor {
  const error = tf.sub(yPred, yTrue);
  return tf.mean(tf.sub(tf.add(error, tf.softplus(tf.mul(-2, error))), Math.LN2), -1);
}

/** e²/2 up to |e| = delta, linear beyond: with q = min(|e|, delta), q²/2 + delta · (|e| - q). */
export function huber(yTrue: tf.Tensor, yPred: tf.Tensor, delta: number): tf.Tensor {
  const size = tf.abs(tf.sub(yPred, yTrue));
  const quadratic = tf.minimum(size, delta);
  const linear = tf.sub(size, quadratic);
  return tf.mean(tf.add(tf.mul(0.5, tf.square(quadratic)), tf.mul(delta, linear)), -1);
}

/** The negative cosine of the angle between the two vectors. */
export function cosineSimilarity(yTrue: tf.Tensor, yPred: tf.Tensor): tf.Tensor {
  const unit = (y: tf.Tensor) => tf.mul(y, tf.rsqrt(tf.maximum(tf.sum(tf.square(y), -1, true), 1e-12)));
  return tf.neg(tf.sum(tf.mul(unit(yTrue), unit(yPred)), -1));
}
