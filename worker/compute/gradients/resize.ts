import * as tf from '@tensorflow/tfjs';
import { type Resizing, resizingMatrices } from '../resizing.js';

/**
 * Replaces the gradients of ResizeBilinear and ResizeNearestNeighbor. A resize is a matrix product per axis; its
 * gradient is that of the transposed matrices. The stock kernels of the cpu backend give wrong numbers (nearest: for
 * all images but the first of a batch) and wrong shapes (bilinear: images that are not square), and wasm has neither.
 */
export function registerResizeGradients(): void {
  for (const kernelName of [tf.ResizeBilinear, tf.ResizeNearestNeighbor]) {
    tf.unregisterGradient(kernelName);
    tf.registerGradient({
      kernelName,
      inputsToSave: ['images'],
      gradFunc: (dy, [images], attributes) => {
        const resizing = { ...attributes, bilinear: kernelName === tf.ResizeBilinear } as unknown as Resizing;
        return { images: () => gradientOf(dy as tf.Tensor4D, images.shape, resizing) };
      },
    });
  }
}

/** @param dy float32[rows, new height, new width, channels] */
function gradientOf(
  dy: tf.Tensor4D,
  [rows, height, width, channels]: number[],
  resizing: Resizing,
): tf.Tensor {
  const [vertical, horizontal] = resizingMatrices([height, width], resizing).map((matrix) =>
    tf.tensor(matrix.data, [1, ...matrix.shape]),
  );
  const [newHeight, newWidth] = resizing.size;
  const tall = tf.matMul(vertical, dy.reshape([rows, newHeight, newWidth * channels]), true);
  const small = tf.matMul(horizontal, tall.reshape([rows * height, newWidth, channels]), true);
  return small.reshape([rows, height, width, channels]);
}
