import type * as tf from '@tensorflow/tfjs';
import { expect } from 'vitest';
import type { LoadedJob } from '../../coordinator/job.js';
import { Random } from '../../shared/random.js';
import { type TrainingRun, trainOn } from './tiny-training.js';

/** How far any point of a compiled curve may be from the eager one, relative to it. */
const tolerance = 1e-4;

/** The model as the same seed builds it. */
export function seeded(build: () => tf.LayersModel): tf.LayersModel {
  const original = Math.random;
  Math.random = new Random(5).next;
  try {
    return build();
  } finally {
    Math.random = original;
  }
}

/** By name, what the history holds, one value an epoch. */
async function curvesOn(backend: 'cpu' | 'wasm' | 'onnx', run: TrainingRun, job?: LoadedJob) {
  const { outcome } = await trainOn({ workers: 1, backend, ...(job && { job }) }, run);
  return outcome.history.history;
}

/**
 * Trains op by op and compiled, and compares losses and metrics, of validation too, epoch by epoch.
 * @param eager what computes op by op
 * @param run what is trained; called for each, so that each has a model of its own with the same weights
 */
export async function expectSameCurves(
  eager: 'cpu' | 'wasm',
  run: () => TrainingRun,
  job?: LoadedJob,
): Promise<void> {
  const expected = await curvesOn(eager, run(), job);
  const compiled = await curvesOn('onnx', run(), job);
  expect(Object.keys(compiled)).toEqual(Object.keys(expected));
  for (const [name, curve] of Object.entries(expected)) {
    curve.forEach((value, epoch) => {
      const difference = Math.abs(compiled[name][epoch] - value);
      expect(difference, `${name} of epoch ${epoch}`).toBeLessThanOrEqual(tolerance * Math.abs(value));
    });
  }
  // A curve that does not move would agree whatever the gradients are.
  const { loss } = expected;
  expect(loss.length).toBeGreaterThan(1);
  expect(Math.abs(loss[loss.length - 1] - loss[0])).toBeGreaterThan(10 * tolerance * loss[0]);
}
