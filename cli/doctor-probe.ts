// The process in which `lockstep doctor` tries one backend: a backend that crashes takes only this down.
//
//   node doctor-probe.js BACKEND THREADS
import * as tf from '@tensorflow/tfjs';
import { InvariantError, LockstepError } from '../shared/errors.js';
import { Random } from '../shared/random.js';
import { backendNames, loadBackend } from '../worker/backend/select.js';
import type { Probe } from './doctor-report.js';

const batchSize = 32;
/** What takes longer is measured on less and scaled. */
const slowMs = 1_500;

/** The median of the durations of `repeats` runs, after one that warms up. */
async function medianMs(repeats: number, run: () => Promise<void>): Promise<number> {
  const durations: number[] = [];
  await run();
  for (let i = 0; i < repeats; i++) {
    const startMs = performance.now();
    await run();
    durations.push(performance.now() - startMs);
  }
  return durations.sort((a, b) => a - b)[Math.floor(durations.length / 2)];
}

/** Billions of operations per second in a product of 1024 × 1024 matrices; of 256 × 256 ones where that is slow. */
async function measureMatMul(): Promise<number> {
  const operations = (size: number) => 2 * size ** 3;
  const measureMs = async (size: number, repeats: number) => {
    const matrix = tf.fill([size, size], 0.5);
    const ms = await medianMs(repeats, async () => {
      const product = tf.matMul(matrix, matrix);
      await product.data();
      product.dispose();
    });
    matrix.dispose();
    return ms;
  };
  const smallMs = await measureMs(256, 3);
  if ((smallMs * operations(1024)) / operations(256) > slowMs) return operations(256) / (smallMs * 1e6);
  return operations(1024) / ((await measureMs(1024, 5)) * 1e6);
}

function buildDigitsCnn(): tf.LayersModel {
  const { conv2d, batchNormalization, activation, maxPooling2d, flatten, dense } = tf.layers;
  const model = tf.sequential({
    layers: [
      conv2d({ inputShape: [28, 28, 1], filters: 32, kernelSize: 3, useBias: false }),
      batchNormalization(),
      activation({ activation: 'relu' }),
      conv2d({ filters: 64, kernelSize: 3, activation: 'relu' }),
      maxPooling2d({ poolSize: 2 }),
      flatten(),
      dense({ units: 128, activation: 'relu' }),
      dense({ units: 10, activation: 'softmax' }),
    ],
  });
  model.compile({ optimizer: tf.train.sgd(0.01), loss: 'categoricalCrossentropy' });
  return model;
}

async function measureStep(): Promise<{ stepMs: number; stepIsEstimate: boolean }> {
  const model = buildDigitsCnn();
  const stepOn = async (rows: number): Promise<void> => {
    const random = new Random(rows);
    const pixels = Float32Array.from({ length: rows * 28 * 28 }, random.next);
    const labels = Int32Array.from({ length: rows }, () => random.below(10));
    const x = tf.tensor4d(pixels, [rows, 28, 28, 1]);
    const y = tf.oneHot(tf.tensor1d(labels, 'int32'), 10).toFloat();
    await model.trainOnBatch(x, y);
    // The loss is known before the update: on a GPU only a new weight tells that the step is done.
    await model.getWeights()[0].data();
    tf.dispose([x, y]);
  };
  const startMs = performance.now();
  await stepOn(1);
  const oneRowMs = performance.now() - startMs;
  if (oneRowMs > slowMs) return { stepMs: oneRowMs * batchSize, stepIsEstimate: true };
  return { stepMs: await medianMs(3, () => stepOn(batchSize)), stepIsEstimate: false };
}

async function probe(name: string, threads: number): Promise<Probe> {
  const backend = backendNames.find((known) => known === name);
  if (backend === undefined) throw new InvariantError(`doctor asked for the backend ${name}`);
  try {
    const { fingerprint } = await loadBackend({ backend, threads });
    return { works: true, fingerprint, gigaflopsPerSecond: await measureMatMul(), ...(await measureStep()) };
  } catch (error) {
    if (!(error instanceof LockstepError)) throw error;
    return { works: false, reason: error.message, hint: error.hint };
  }
}

const [name, threads] = process.argv.slice(2);
process.send?.(await probe(name, Number(threads)), () => process.exit(0));
