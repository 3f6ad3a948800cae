import * as tf from '@tensorflow/tfjs';
import { beforeAll, describe, expect, it } from 'vitest';
import { Random } from '../../shared/random.js';
import {
  expectAsOnCpu,
  loadBothBackends,
  normals,
  normalTensor,
  relativeError,
  valuesOn,
} from './wasm-reference.js';

beforeAll(loadBothBackends);

type Pad = 'same' | 'valid' | [[0, 0], [number, number], [number, number], [0, 0]];

/** 3×3 convolutions of stride 1 with enough channels for Winograd's algorithm. */
const cases: [string, number[], number, Pad][] = Array.from({ length: 12 }, (_, i) => {
  const random = new Random(i);
  const between = (low: number, high: number): number => low + random.below(high - low + 1);
  const explicit: Pad = [
    [0, 0],
    [between(0, 2), between(0, 2)],
    [between(0, 2), between(0, 2)],
    [0, 0],
  ];
  const pad = (['same', 'valid', explicit] as const)[i % 3];
  const x = [between(1, 2), between(3, 8), between(3, 8), 4 * between(4, 6)];
  const outChannels = 4 * between(4, 7);
  return [JSON.stringify({ x, outChannels, pad }), x, outChannels, pad];
});

describe('a 3×3 convolution of many channels and its gradients', () => {
  it.each(cases)('agree with cpu for %s', async (_, shape, outChannels, pad) => {
    const convolve = (x: tf.Tensor, filter: tf.Tensor) =>
      tf.conv2d(x as tf.Tensor4D, filter as tf.Tensor4D, 1, pad);
    await expectAsOnCpu(() => {
      const inputs = [normalTensor(shape, 1), normalTensor([3, 3, shape[3], outChannels], 2)];
      const y = convolve(inputs[0], inputs[1]);
      return [y, ...tf.grads(convolve)(inputs, normalTensor(y.shape, 3))];
    });
  });
});

it('keeps float32 accuracy over a whole batch of images', async () => {
  const [samples, size, c, d] = [16, 16, 16, 16];
  const x = normals(samples * size * size * c, 4);
  const dy = normals(samples * (size - 2) ** 2 * d, 5);
  const exact = new Float64Array(9 * c * d);
  for (let sample = 0; sample < samples; sample++) {
    for (let position = 0; position < (size - 2) ** 2; position++) {
      const [row, column] = [Math.floor(position / (size - 2)), position % (size - 2)];
      for (let tap = 0; tap < 9; tap++) {
        const pixel = (sample * size + row + Math.floor(tap / 3)) * size + column + (tap % 3);
        for (let i = 0; i < c; i++) {
          for (let j = 0; j < d; j++) {
            exact[(tap * c + i) * d + j] +=
              x[pixel * c + i] * dy[(sample * (size - 2) ** 2 + position) * d + j];
          }
        }
      }
    }
  }
  const [gradient] = await valuesOn('wasm', () => {
    const images = tf.tensor4d(x, [samples, size, size, c]);
    const convolve = (filter: tf.Tensor) => tf.conv2d(images, filter as tf.Tensor4D, 1, 'valid');
    return tf.grad(convolve)(tf.zeros([3, 3, c, d]), tf.tensor4d(dy, [samples, size - 2, size - 2, d]));
  });
  expect(relativeError(gradient, exact)).toBeLessThan(2e-6);
});
