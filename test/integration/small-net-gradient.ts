import * as tf from '@tensorflow/tfjs';
import { Random } from '../../shared/random.js';

/** The gradients of conv, relu, max-pool and matMul by their weights, as base64 of their float32 bytes. */
export function gradientsOfSmallNet(): string[] {
  const random = new Random(7);
  const values = (shape: number[]) =>
    tf.tensor(
      Float32Array.from({ length: tf.util.sizeFromShape(shape) }, () => random.normal() / 4),
      shape,
    );
  const gradients = tf.tidy(() => {
    const images = values([8, 12, 12, 3]) as tf.Tensor4D;
    const network = (filter: tf.Tensor, kernel: tf.Tensor) => {
      const hidden = tf.relu(tf.conv2d(images, filter as tf.Tensor4D, 1, 'same'));
      const pooled = tf.maxPool(hidden, 2, 2, 'valid').reshape([8, 6 * 6 * 8]);
      return tf.square(tf.matMul(pooled, kernel as tf.Tensor2D)).mean();
    };
    const weights = [values([3, 3, 3, 8]), values([6 * 6 * 8, 10])];
    return tf
      .grads(network)(weights)
      .map((gradient) => gradient.dataSync() as Float32Array);
  });
  return gradients.map(({ buffer, byteOffset, byteLength }) =>
    Buffer.from(buffer, byteOffset, byteLength).toString('base64'),
  );
}
