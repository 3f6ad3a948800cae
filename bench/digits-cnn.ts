import type * as tf from '@tensorflow/tfjs';
import { Random } from 'lockstep';
import job from '../examples/digits/job.js';
import { renderDigits } from '../examples/digits/render.js';

/** What the benchmarks train: the demo's CNN on the demo's digits, as plain data that any process can take. */
export interface DigitsCnn {
  /** JSON for `tf.models.modelFromJSON`. */
  readonly topology: string;
  /** uint8[rows, 28, 28, 1] */
  readonly images: Uint8Array;
  /** uint8[rows] */
  readonly labels: Uint8Array;
  readonly rows: number;
  readonly batchSize: number;
}

export async function digitsCnn(rows: number, batchSize: number): Promise<DigitsCnn> {
  const { images, labels } = renderDigits({ count: rows, seed: 1 });
  const model = await buildCnn();
  const topology = JSON.stringify(model.toJSON(null, false));
  model.dispose();
  return {
    topology,
    images: images.data as Uint8Array,
    labels: labels.data as Uint8Array,
    rows,
    batchSize,
  };
}

export function buildCnn(): tf.LayersModel | Promise<tf.LayersModel> {
  return job.model({ dataDir: null, seed: 1, rng: new Random(1) });
}
