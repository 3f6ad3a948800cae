import * as tf from '@tensorflow/tfjs';
import { beforeAll, describe, expect, it } from 'vitest';
import { registerGradients } from '../../worker/compute/gradients/register.js';
import { normal } from './eager-fixture.js';

beforeAll(async () => {
  await tf.setBackend('cpu');
  registerGradients();
});

const tensorOf = (shape: number[], seed: number) => tf.tensor(normal(shape, seed).data, shape);
const dot = (a: tf.Tensor, b: tf.Tensor) => tf.sum(tf.mul(a, b)).dataSync()[0];

const maps: Record<string, [number[], (x: tf.Tensor) => tf.Tensor]> = {
  'bilinear resizing': [[2, 3, 5, 2], (x) => tf.image.resizeBilinear(x as tf.Tensor4D, [7, 4])],
  'bilinear resizing of centres': [
    [2, 3, 5, 2],
    (x) => tf.image.resizeBilinear(x as tf.Tensor4D, [2, 8], false, true),
  ],
  'nearest resizing': [[2, 3, 5, 2], (x) => tf.image.resizeNearestNeighbor(x as tf.Tensor4D, [6, 10])],
  'nearest resizing of corners': [
    [2, 3, 5, 2],
    (x) => tf.image.resizeNearestNeighbor(x as tf.Tensor4D, [7, 4], true),
  ],
  'padded averaging': [[2, 5, 6, 3], (x) => tf.avgPool(x as tf.Tensor4D, [3, 2], [2, 1], 'same')],
  'padded averaging of volumes': [[2, 3, 5, 4, 2], (x) => tf.avgPool3d(x as tf.Tensor5D, 3, 2, 'same')],
};

// What a linear map gives for x, times a slope, is x times what its gradient gives for the slope.
describe('the gradient of a linear map is its transpose', () => {
  for (const [name, [shape, compute]] of Object.entries(maps)) {
    it(`for ${name}`, () => {
      const x = tensorOf(shape, 1);
      const value = compute(x);
      const slope = tensorOf(value.shape, 2);
      const gradient = tf.grad(compute)(x, slope);
      expect(gradient.shape).toEqual(shape);
      expect(dot(x, gradient)).toBeCloseTo(dot(value, slope), 4);
    });
  }
});
