import * as tf from '@tensorflow/tfjs';

/** Labels 0 count as -1. (Keras converts a batch whose labels are all 0 or 1; by element, no shard differs.) */
function signed(yTrue: tf.Tensor): tf.Tensor {
  return tf.sub(yTrue, tf.cast(tf.equal(yTrue, 0), 'float32'));
}

function margin(yTrue: tf.Tensor, yPred: tf.Tensor): tf.Tensor {
  return tf.relu(tf.sub(1, tf.mul(signed(yTrue), yPred)));
}

export function hinge(yTrue: tf.Tensor, yPred: tf.Tensor): tf.Tensor {
  return tf.mean(margin(yTrue, yPred), -1);
}

export function squaredHinge(yTrue: tf.Tensor, yPred: tf.Tensor): tf.Tensor {
  return tf.mean(tf.square(margin(yTrue, yPred)), -1);
}

/** max(0, 1 + the best wrong class's score - the right class's), for one-hot labels. */
export function categoricalHinge(yTrue: tf.Tensor, yPred: tf.Tensor): tf.Tensor {
  const right = tf.sum(tf.mul(yTrue, yPred), -1);
  const wrong = tf.max(tf.mul(tf.sub(1, yTrue), yPred), -1);
  return tf.relu(tf.add(1, tf.sub(wrong, right)));
}
