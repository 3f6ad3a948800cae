import * as tf from '@tensorflow/tfjs';
import { expect } from 'vitest';
import { Random } from '../../shared/random.js';
import { loadWasmBackend } from '../../worker/backend/wasm/load.js';

/** Loads the wasm backend with our kernels, and the cpu backend that they are compared with. */
export async function loadBothBackends(): Promise<void> {
  await tf.setBackend('cpu');
  await loadWasmBackend();
}

/** Standard normal values, the same for the same seed. */
export function normals(size: number, seed: number): Float32Array {
  const random = new Random(seed);
  return Float32Array.from({ length: size }, () => random.normal());
}

/** A tensor of standard normal values. */
export function normalTensor(shape: number[], seed: number): tf.Tensor {
  return tf.tensor(normals(tf.util.sizeFromShape(shape), seed), shape);
}

/** The values that `compute` gives on a backend, which must hold as much afterwards as before. */
export async function valuesOn(
  backend: 'cpu' | 'wasm',
  compute: () => tf.Tensor | tf.Tensor[],
): Promise<Float32Array[]> {
  await tf.setBackend(backend);
  const tensorsBefore = tf.memory().numTensors;
  const buffersBefore = tf.engine().backend.numDataIds();
  const results = [tf.tidy(compute)].flat();
  const values = results.map((tensor) => Float32Array.from(tensor.dataSync()));
  tf.dispose(results);
  expect(tf.memory().numTensors, 'tensors left behind').toBe(tensorsBefore);
  expect(tf.engine().backend.numDataIds(), 'buffers left behind').toBe(buffersBefore);
  return values;
}

/** Largest difference, relative to the largest expected magnitude (at least 1). */
export function relativeError(actual: ArrayLike<number>, expected: ArrayLike<number>): number {
  expect(actual.length).toBe(expected.length);
  let [difference, scale] = [0, 1];
  for (let i = 0; i < expected.length; i++) {
    difference = Math.max(difference, Math.abs(actual[i] - expected[i]));
    scale = Math.max(scale, Math.abs(expected[i]));
    if (Number.isNaN(actual[i]) !== Number.isNaN(expected[i])) return Number.POSITIVE_INFINITY;
  }
  return difference / scale;
}

/** `compute` gives the same on wasm as on cpu, up to float32 rounding, and leaves nothing behind. */
export async function expectAsOnCpu(
  compute: () => tf.Tensor | tf.Tensor[],
  label = '',
  tolerance = 1e-5,
): Promise<void> {
  const expected = await valuesOn('cpu', compute);
  const actual = await valuesOn('wasm', compute);
  expect(actual.length).toBe(expected.length);
  for (const [i, values] of actual.entries()) {
    expect(relativeError(values, expected[i]), `result ${i} ${label}`).toBeLessThan(tolerance);
  }
}
