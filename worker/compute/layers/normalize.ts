import * as tf from '@tensorflow/tfjs';
import { channelMean } from './channel-mean.js';

/**
 * Normalises by the batch's own mean and population variance per channel (the last axis), then scales and shifts.
 * The gradient flows through both; it is the closed form of Ioffe & Szegedy (2015, section 3), in far fewer passes
 * over memory than differentiating op by op.
 *
 * @param gamma float32[channels]
 * @param beta float32[channels]
 * @param emit given mean and variance, float32[channels], which live only during the call unless kept
 */
export function normalizeByBatch(
  x: tf.Tensor,
  gamma: tf.Tensor,
  beta: tf.Tensor,
  epsilon: number,
  emit: (mean: tf.Tensor, variance: tf.Tensor) => void,
): tf.Tensor {
  const normalize = tf.customGrad((...args) => {
    const [input, scale, shift, save] = args as [tf.Tensor, tf.Tensor, tf.Tensor, tf.GradSaveFunc];
    const mean = channelMean(input);
    // Adding the negative: several backends add faster than they subtract.
    const centred = tf.add(input, tf.neg(mean));
    const variance = channelMean(tf.square(centred));
    const inverse = tf.rsqrt(tf.add(variance, epsilon));
    emit(mean, variance);
    save([centred, inverse, scale]);
    return { value: tf.add(tf.mul(centred, tf.mul(inverse, scale)), shift), gradFunc: gradientOf };
  });
  return normalize(x, gamma, beta);
}

/** With x̂ = centred · inverse: dx = γ · inverse · (dy - mean(dy) - x̂ · mean(dy · x̂)), dγ = Σ dy · x̂, dβ = Σ dy. */
function gradientOf(dy: tf.Tensor, [centred, inverse, gamma]: tf.Tensor[]): tf.Tensor[] {
  const count = dy.size / gamma.size;
  const meanDy = channelMean(dy);
  const meanDyX = tf.mul(channelMean(tf.mul(dy, centred)), inverse);
  const factor = tf.mul(gamma, inverse);
  const shift = tf.neg(tf.mul(factor, meanDy));
  // A product and a sum by channel in a row are one pass for a compiled step.
  const alongDy = tf.add(tf.mul(dy, factor), shift);
  const alongX = tf.mul(centred, tf.neg(tf.mul(tf.mul(factor, inverse), meanDyX)));
  return [tf.add(alongDy, alongX), tf.mul(meanDyX, count), tf.mul(meanDy, count)];
}
