import * as tf from '@tensorflow/tfjs';
import { beforeAll, describe, expect, it } from 'vitest';
import { registerReluGradient } from '../../worker/compute/gradients/relu.js';

beforeAll(async () => {
  await tf.setBackend('cpu');
  registerReluGradient();
});

describe('the gradient of relu', () => {
  it('passes on what came from above where the input is positive, and nothing elsewhere', () => {
    const x = tf.tensor1d([-2, 0, 1e-30, 3]);
    const dy = tf.tensor1d([5, 6, 7, -8]);
    const gradient = tf
      .grad((input) => tf.relu(input))(x, dy)
      .dataSync();
    expect(Array.from(gradient, (value) => value + 0)).toEqual([0, 0, 7, -8]);
  });

  it("is a backend's own ReluGrad kernel where there is one", () => {
    tf.registerKernel({
      kernelName: 'ReluGrad',
      backendName: 'cpu',
      kernelFunc: ({ inputs }) => {
        const { dy, x } = inputs as { dy: tf.Tensor; x: tf.Tensor };
        return tf.mul(tf.mul(dy, tf.step(x)), 10);
      },
    });
    try {
      expect(
        Array.from(
          tf
            .grad((x) => tf.relu(x))(tf.tensor1d([1]), tf.tensor1d([2]))
            .dataSync(),
        ),
      ).toEqual([20]);
    } finally {
      tf.unregisterKernel('ReluGrad', 'cpu');
    }
  });

  it('serves convolutions and dense layers that have relu built in', () => {
    const kernel = tf.tensor4d([1, -1, 2, 0.5], [1, 1, 2, 2]);
    const x = tf.tensor4d([1, 2, -1, 0.5], [1, 1, 2, 2]);
    const loss = (input: tf.Tensor) =>
      tf.sum(
        tf.fused.conv2d({ x: input as tf.Tensor4D, filter: kernel, strides: 1, pad: 0, activation: 'relu' }),
      );
    // Outputs: pixel (1, 2) → 5, 0; pixel (-1, 0.5) → 0, 1.25.
    expect(Array.from(tf.grad(loss)(x).dataSync())).toEqual([1, 2, -1, 0.5]);
  });
});
