import * as tf from '@tensorflow/tfjs';
import { beforeAll, describe, expect, it } from 'vitest';
import { Random } from '../../shared/random.js';
import { loadWasmBackend } from '../../worker/backend/wasm/load.js';
import { registerReluGradient } from '../../worker/compute/gradients/relu.js';

beforeAll(async () => {
  await loadWasmBackend();
  registerReluGradient();
});

describe('the gradient of relu on wasm', () => {
  it('is dy where x is above zero and 0 elsewhere, for every length and for NaN', () => {
    const random = new Random(3);
    for (const length of [1, 2, 3, 4, 5, 7, 8, 63, 130]) {
      const x = Float32Array.from({ length }, (_, i) => [random.normal(), 0, -0, Number.NaN, 1e-40][i % 5]);
      const dy = Float32Array.from({ length }, () => random.normal());
      const before = tf.memory().numTensors;
      const gradient = tf.tidy(() =>
        tf
          .grad((input) => tf.relu(input))(tf.tensor(x), tf.tensor(dy))
          .dataSync(),
      );
      expect(Array.from(gradient)).toEqual(Array.from(x, (value, i) => (value > 0 ? dy[i] : 0)));
      expect(tf.memory().numTensors).toBe(before);
    }
  });
});
