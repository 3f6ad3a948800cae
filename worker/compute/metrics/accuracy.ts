import * as tf from '@tensorflow/tfjs';

/* Each gives 1 or 0 per sample (binaryAccuracy the share of the last axis): Keras's accuracy_metrics.py. */

/** @param yTrue float32 of `yPred`'s shape */
export function binaryAccuracy(yTrue: tf.Tensor, yPred: tf.Tensor, threshold: number): tf.Tensor {
  const decided = tf.cast(tf.greater(yPred, threshold), 'float32');
  return tf.mean(tf.cast(tf.equal(yTrue, decided), 'float32'), -1);
}

/** @param yTrue float32 of `yPred`'s shape, one-hot */
export function categoricalAccuracy(yTrue: tf.Tensor, yPred: tf.Tensor): tf.Tensor {
  return tf.cast(tf.equal(tf.argMax(yTrue, -1), tf.argMax(yPred, -1)), 'float32');
}

/** @param yTrue int32 class numbers */
export function sparseCategoricalAccuracy(yTrue: tf.Tensor, yPred: tf.Tensor): tf.Tensor {
  return tf.cast(tf.equal(yTrue, tf.argMax(yPred, -1)), 'float32');
}

/**
 * Whether fewer than `k` classes score higher than the right one, which is how TensorFlow's `in_top_k` treats ties.
 * @param yTrue int32 class numbers
 */
export function sparseTopKCategoricalAccuracy(yTrue: tf.Tensor, yPred: tf.Tensor, k: number): tf.Tensor {
  const oneHot = tf.cast(tf.oneHot(yTrue, yPred.shape[yPred.rank - 1]), 'float32');
  const right = tf.sum(tf.mul(oneHot, yPred), -1, true);
  const higher = tf.sum(tf.cast(tf.greater(yPred, right), 'float32'), -1);
  return tf.cast(tf.less(higher, k), 'float32');
}

/** @param yTrue float32 of `yPred`'s shape, one-hot */
export function topKCategoricalAccuracy(yTrue: tf.Tensor, yPred: tf.Tensor, k: number): tf.Tensor {
  return sparseTopKCategoricalAccuracy(tf.cast(tf.argMax(yTrue, -1), 'int32'), yPred, k);
}
