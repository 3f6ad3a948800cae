import * as tf from '@tensorflow/tfjs';

/** Values that are added one after the other before the partial sums are: bounds float32's rounding. */
const longestRun = 1024;

/** The divisor of `length` nearest to its square root from below. */
function middleDivisor(length: number): number {
  let divisor = Math.floor(Math.sqrt(length));
  while (length % divisor !== 0) divisor--;
  return divisor;
}

/**
 * Mean over all rows of float32[rows, ...positions, channels], per channel: float32[channels].
 *
 * Summing the first axis of a long matrix is slow on several backends (they transpose first), and adds all values in
 * one run. Average pooling over a row's positions reads the memory once, in order, and leaves short runs.
 */
export function channelMean(x: tf.Tensor): tf.Tensor {
  const rows = x.shape[0];
  const channels = x.shape[x.rank - 1];
  let positions = x.size / (rows * channels);
  if (positions === 1) return tf.mean(x.reshape([rows, channels]), 0);
  let pooled: tf.Tensor4D = x.reshape([rows, positions, 1, channels]);
  const run = positions > longestRun ? middleDivisor(positions) : 1;
  if (run > 1) {
    pooled = tf.avgPool(pooled, [run, 1], [run, 1], 'valid');
    positions /= run;
  }
  pooled = tf.avgPool(pooled, [positions, 1], [positions, 1], 'valid');
  return tf.mean(pooled.reshape([rows, channels]), 0);
}
