import * as tf from '@tensorflow/tfjs';
import type { BackendWasm } from '@tensorflow/tfjs-backend-wasm';
import { beforeAll, describe, expect, it } from 'vitest';
import { expectAsOnCpu, loadBothBackends, normals, normalTensor, valuesOn } from './wasm-reference.js';

beforeAll(loadBothBackends);

describe('max pooling', () => {
  type Example = [
    shape: number[],
    size: number | [number, number],
    strides: number | [number, number],
    pad: 'same' | 'valid',
  ];
  const cases: Example[] = [
    [[2, 6, 6, 5], 2, 2, 'valid'],
    [[1, 7, 5, 3], 3, 1, 'valid'],
    [[2, 7, 8, 9], 3, 2, 'same'],
    [[1, 5, 5, 4], 2, 3, 'same'],
    [[2, 4, 6, 8], [3, 2], [1, 2], 'same'],
  ];
  const pool = (x: tf.Tensor, [, size, strides, pad]: Example) =>
    tf.maxPool(x as tf.Tensor4D, size, strides, pad);

  it.each(cases)('of %j by %j, stride %j, %s, has the gradient of cpu', async (...example) => {
    await expectAsOnCpu(() => {
      const x = normalTensor(example[0], 1);
      const y = pool(x, example);
      return tf.grad((input) => pool(input, example))(x, normalTensor(y.shape, 2));
    });
  });

  it('gives the gradient to the first of equal maxima, also in overlapping windows', async () => {
    for (const example of cases) {
      await expectAsOnCpu(() => {
        const x = normalTensor(example[0], 3).mul(1.5).round();
        const y = pool(x, example);
        return tf.grad((input) => pool(input, example))(x, normalTensor(y.shape, 4));
      });
    }
  });
});

describe('sum and mean', () => {
  const cases: [number[], number | number[] | undefined][] = [
    [
      [3, 4, 5, 6],
      [0, 1, 2],
    ],
    [
      [3, 4, 5, 6],
      [1, 2],
    ],
    [
      [3, 4, 5, 6],
      [0, 2],
    ],
    [[3, 4, 5, 21], 0],
    [[3, 4, 5, 6], 3],
    [[3, 4, 5, 6], undefined],
    [
      [3, 1, 5, 6],
      [0, 2],
    ],
    [
      [3, 1, 1, 6],
      [1, 2],
    ],
    [[700, 37], 0],
    [[1, 6], 0],
    [[5, 0], 0],
    [[0, 5], 0],
  ];
  it.each(cases)('of %j over %j are those of cpu', async (shape, axis) => {
    await expectAsOnCpu(() => {
      const x = normalTensor(shape, 5);
      return [false, true].flatMap((keepDims) => [tf.sum(x, axis, keepDims), tf.mean(x, axis, keepDims)]);
    });
  });

  it('of integers are those of cpu', async () => {
    await expectAsOnCpu(() => {
      const x = tf.tensor2d([1, 2, 3, 4, 5, 7], [2, 3], 'int32');
      return [tf.sum(x, 0), tf.mean(x, 0), tf.sum(x.greater(2), 0)];
    });
  });

  it('keep six digits over many rows, where adding one after another does not', async () => {
    const rows = 400_000;
    const [[sum]] = await valuesOn('wasm', () => tf.sum(tf.fill([rows, 2], 0.1), 0));
    let oneByOne = 0;
    for (let i = 0; i < rows; i++) oneByOne = Math.fround(oneByOne + Math.fround(0.1));
    expect(Math.abs(sum / (rows * Math.fround(0.1)) - 1)).toBeLessThan(1e-5);
    expect(Math.abs(oneByOne / (rows * Math.fround(0.1)) - 1)).toBeGreaterThan(1e-4);
  });
});

describe('tile', () => {
  it.each([
    [
      [2, 3],
      [2, 2],
    ],
    [
      [1, 1, 1, 5],
      [3, 4, 2, 1],
    ],
    [
      [2, 1, 3],
      [1, 5, 1],
    ],
    [[4], [7]],
    [
      [2, 3, 2],
      [3, 1, 2],
    ],
    [
      [2, 3],
      [1, 1],
    ],
    [
      [2, 3],
      [0, 2],
    ],
  ])('repeats %j by %j as cpu does', async (shape, reps) => {
    await expectAsOnCpu(() => {
      const x = normalTensor(shape, 6);
      return [tf.tile(x, reps), tf.tile(x.greater(0), reps), tf.tile(x.toInt(), reps)];
    });
  });
});

describe('unsorted segment sum', () => {
  it('adds rows of equal id, and is the gradient of a gather', async () => {
    const ids = [2, 0, 2, 2, 4];
    const rows = normals(5 * 3, 7);
    const expected = new Float32Array(6 * 3);
    for (const [row, id] of ids.entries()) {
      for (let i = 0; i < 3; i++) expected[3 * id + i] += rows[3 * row + i];
    }
    const [sums, gradient] = await valuesOn('wasm', () => {
      const dy = tf.tensor2d(rows, [5, 3]);
      const indices = tf.tensor1d(ids, 'int32');
      return [
        tf.unsortedSegmentSum(dy, indices, 6),
        tf.grad((table) => tf.gather(table, indices))(tf.zeros([6, 3]), dy),
      ];
    });
    expect(sums).toEqual(expected);
    expect(gradient).toEqual(expected);
  });

  it('gathers with indices of two axes, as an embedding does', async () => {
    await expectAsOnCpu(() => {
      const indices = tf.tensor2d([0, 3, 1, 1, 2, 3], [2, 3], 'int32');
      return tf.grad((table) => tf.gather(table, indices))(
        normalTensor([5, 4], 8),
        normalTensor([2, 3, 4], 9),
      );
    });
  });
});

it.each([
  [
    [4, 3, 7],
    [3, 1],
  ],
  [
    [4, 3, 7],
    [3, 7],
  ],
  [
    [2, 3, 4, 5],
    [1, 1, 5],
  ],
  [
    [2, 3, 4, 5],
    [3, 1, 5],
  ],
  [[2, 3, 4], [1]],
])('prelu of %j broadcasts a slope of %j as cpu does', async (shape, slopeShape) => {
  await expectAsOnCpu(() => tf.prelu(normalTensor(shape, 12), normalTensor(slopeShape, 13)));
});

it('says that memory ran out, and what to do, where the stock backend writes to address zero', async () => {
  await tf.setBackend('wasm');
  const backend = tf.backend() as BackendWasm;
  const before = backend.numDataIds();
  expect(() => backend.makeOutput([2 ** 30], 'float32')).toThrow(
    expect.objectContaining({ code: 'WORKER_OUT_OF_MEMORY', hint: expect.stringContaining('--shards') }),
  );
  expect(backend.numDataIds()).toBe(before);
});

it('identity shares the data without tying the lives of the two tensors', async () => {
  await tf.setBackend('wasm');
  const x = tf.tensor1d([1, 2, 3]);
  const copy = tf.clone(x);
  x.dispose();
  expect([...copy.dataSync()]).toEqual([1, 2, 3]);
  copy.dispose();
});

it('does not grow the heap when a step is repeated', async () => {
  await tf.setBackend('wasm');
  const step = () =>
    tf.tidy(() => {
      const inputs = [normalTensor([8, 16, 16, 8], 10), normalTensor([3, 3, 8, 16], 11)];
      const loss = (x: tf.Tensor, filter: tf.Tensor) =>
        tf
          .maxPool(tf.conv2d(x as tf.Tensor4D, filter as tf.Tensor4D, 1, 'same'), 2, 2, 'same')
          .square()
          .sum();
      for (const gradient of tf.grads(loss)(inputs)) gradient.dataSync();
    });
  const heap = (): number => {
    const backend = tf.backend() as BackendWasm;
    return tf.tidy(() => backend.typedArrayFromHeap(tf.scalar(0)).buffer.byteLength);
  };
  for (let i = 0; i < 3; i++) step();
  const before = heap();
  for (let i = 0; i < 30; i++) step();
  expect(heap()).toBe(before);
});
