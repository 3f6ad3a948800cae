import * as tf from '@tensorflow/tfjs';
import { beforeAll, describe, expect, it } from 'vitest';
import { Random } from '../../shared/random.js';
import { expectAsOnCpu, loadBothBackends, normalTensor, valuesOn } from './wasm-reference.js';

beforeAll(loadBothBackends);

interface Case {
  x: [number, number, number, number];
  filter: [number, number, number, number];
  strides: [number, number];
  dilations: [number, number];
  pad: 'same' | 'valid' | [[0, 0], [number, number], [number, number], [0, 0]];
}

/** Random small convolutions whose output is not empty. */
function randomCases(count: number, seed: number, dilated: boolean): [string, Case][] {
  const random = new Random(seed);
  const between = (low: number, high: number): number => low + random.below(high - low + 1);
  return Array.from({ length: count }, (_, i) => {
    const filterSize = [between(1, 4), between(1, 4)];
    const dilations: [number, number] = dilated ? [between(1, 3), between(1, 3)] : [1, 1];
    const strides: [number, number] = dilated ? [1, 1] : [between(1, 3), between(1, 3)];
    const explicit: Case['pad'] = [
      [0, 0],
      [between(0, 2), between(0, 2)],
      [between(0, 2), between(0, 2)],
      [0, 0],
    ];
    const pads = ['same', 'valid', explicit] as const;
    const reach = filterSize.map((size, axis) => (size - 1) * dilations[axis] + 1);
    const example: Case = {
      x: [between(1, 3), reach[0] + between(0, 6), reach[1] + between(0, 6), between(1, 9)],
      filter: [filterSize[0], filterSize[1], 0, between(1, 19)],
      strides,
      dilations,
      pad: pads[i % pads.length],
    };
    example.filter[2] = example.x[3];
    return [JSON.stringify(example), example];
  });
}

function convolution(x: tf.Tensor, filter: tf.Tensor, { strides, pad, dilations }: Case): tf.Tensor {
  return tf.conv2d(x as tf.Tensor4D, filter as tf.Tensor4D, strides, pad, 'NHWC', dilations);
}

describe('a convolution and its gradients', () => {
  it.each(randomCases(30, 1, false))('agree with cpu for %s', async (_, example) => {
    await expectAsOnCpu(() => {
      const inputs = [normalTensor(example.x, 2), normalTensor(example.filter, 3)];
      const y = convolution(inputs[0], inputs[1], example);
      const gradients = tf.grads((x, filter) => convolution(x, filter, example))(
        inputs,
        normalTensor(y.shape, 4),
      );
      return [y, ...gradients];
    });
  });

  it.each(randomCases(10, 5, true))('agree with cpu, dilated, for %s', async (_, example) => {
    await expectAsOnCpu(() =>
      convolution(normalTensor(example.x, 2), normalTensor(example.filter, 3), example),
    );
  });
});

describe('a transposed convolution and its gradients', () => {
  it.each([
    ['same', 2],
    ['valid', 2],
    ['same', 1],
    ['valid', 3],
  ] as const)('agree with cpu for %s padding and stride %i', async (pad, stride) => {
    const size = pad === 'same' ? 4 * stride : 3 * stride + 3;
    const upscale = (x: tf.Tensor, filter: tf.Tensor) =>
      tf.conv2dTranspose(x as tf.Tensor4D, filter as tf.Tensor4D, [2, size, size, 6], stride, pad);
    await expectAsOnCpu(() => {
      const inputs = [normalTensor([2, 4, 4, 5], 6), normalTensor([3, 3, 6, 5], 7)];
      const gradients = tf.grads(upscale)(inputs, normalTensor([2, size, size, 6], 8));
      return [upscale(inputs[0], inputs[1]), ...gradients];
    });
  });
});

describe('a depthwise convolution and its gradients', () => {
  it.each(randomCases(25, 9, false))('agree with cpu for %s', async (_, example) => {
    const { x, strides, pad } = example;
    const multiplier = 1 + (example.filter[3] % 3);
    const filterShape = [example.filter[0], example.filter[1], x[3], multiplier];
    const depthwise = (input: tf.Tensor, filter: tf.Tensor) =>
      tf.depthwiseConv2d(input as tf.Tensor4D, filter as tf.Tensor4D, strides, pad);
    await expectAsOnCpu(() => {
      const inputs = [normalTensor(x, 11), normalTensor(filterShape, 12)];
      const y = depthwise(inputs[0], inputs[1]);
      return [y, ...tf.grads(depthwise)(inputs, normalTensor(y.shape, 13))];
    });
  });
});

it.each(['linear', 'relu', 'elu', 'prelu', 'leakyrelu'] as const)(
  'a fused convolution applies %s after the bias',
  async (activation) => {
    await expectAsOnCpu(() =>
      tf.fused.conv2d({
        x: normalTensor([2, 6, 7, 3], 14) as tf.Tensor4D,
        filter: normalTensor([3, 2, 3, 10], 15) as tf.Tensor4D,
        strides: [2, 1],
        pad: 'same',
        bias: normalTensor([10], 16),
        activation,
        preluActivationWeights: normalTensor([10], 17),
        leakyreluAlpha: 0.3,
      }),
    );
  },
);

it('refuses channels-first data with an error that says what to do', async () => {
  await tf.setBackend('wasm');
  tf.tidy(() => {
    const x = tf.zeros([1, 3, 8, 8]) as tf.Tensor4D;
    const filter = tf.zeros([3, 3, 3, 4]) as tf.Tensor4D;
    expect(() => tf.conv2d(x, filter, 1, 'same', 'NCHW')).toThrow('channelsFirst');
  });
});

it('gives the same filter gradient bits every time', async () => {
  const run = () =>
    valuesOn('wasm', () => {
      const inputs = [normalTensor([3, 12, 12, 8], 18), normalTensor([3, 3, 8, 16], 19)];
      const loss = (x: tf.Tensor, filter: tf.Tensor) =>
        tf.conv2d(x as tf.Tensor4D, filter as tf.Tensor4D, 1, 'same');
      return tf.grads(loss)(inputs, normalTensor([3, 12, 12, 16], 20));
    });
  expect(await run()).toEqual(await run());
});
