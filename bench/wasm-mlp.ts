/**
 * What a training step costs on the wasm backend: `npx tsx bench/wasm-mlp.ts`.
 * The MLP 784-300-100-10 at batch 128, gradients and an SGD update, with the stock kernels and with ours in turn, so
 * that both meet the same machine; then the CNN of the MNIST example, which the stock backend cannot train. Medians.
 */

import * as tf from '@tensorflow/tfjs';
import { Random } from '../shared/random.js';
import { loadWasmBackend } from '../worker/backend/wasm/load.js';
import { registerTrainingKernels } from '../worker/backend/wasm/register.js';
import { registerStockKernels } from './stock-wasm.js';

const mlpBatch = 128;
const mlpRounds = 30;
const cnnRounds = 7;
const target = 0.4;

function normalTensor(shape: number[], random: Random): tf.Tensor {
  const values = Float32Array.from({ length: tf.util.sizeFromShape(shape) }, () => random.normal());
  return tf.tensor(values, shape);
}

/** One step of gradients and SGD on random data of the model's input shape and ten classes. */
function trainingStep(model: tf.Sequential, batch: number): () => void {
  const random = new Random(1);
  const x = normalTensor([batch, ...(model.inputs[0].shape.slice(1) as number[])], random);
  const labels = Array.from({ length: batch }, () => random.below(10));
  const y = tf.oneHot(tf.tensor1d(labels, 'int32'), 10).toFloat();
  const optimizer = tf.train.sgd(0.01);
  const variables = model.trainableWeights.map((weight) => weight.read() as tf.Variable);
  return () => {
    const { value, grads } = tf.tidy(() =>
      tf.variableGrads(() => {
        const predicted = model.apply(x, { training: true }) as tf.Tensor;
        return tf.metrics.categoricalCrossentropy(y, predicted).mean() as tf.Scalar;
      }, variables),
    );
    optimizer.applyGradients(grads);
    tf.dispose([value, ...Object.values(grads)]);
  };
}

function milliseconds(work: () => void): number {
  const startMs = performance.now();
  work();
  return performance.now() - startMs;
}

const median = (values: readonly number[]): number => values.toSorted((a, b) => a - b)[values.length >> 1];

function mlp(): tf.Sequential {
  const { dense } = tf.layers;
  return tf.sequential({
    layers: [
      dense({ inputShape: [784], units: 300, activation: 'relu' }),
      dense({ units: 100, activation: 'relu' }),
      dense({ units: 10, activation: 'softmax' }),
    ],
  });
}

function cnn(): tf.Sequential {
  const { activation, batchNormalization, conv2d, dense, dropout, flatten, maxPooling2d } = tf.layers;
  return tf.sequential({
    layers: [
      conv2d({ inputShape: [28, 28, 1], filters: 32, kernelSize: 3, useBias: false }),
      batchNormalization(),
      activation({ activation: 'relu' }),
      conv2d({ filters: 64, kernelSize: 3, activation: 'relu' }),
      maxPooling2d({ poolSize: 2 }),
      dropout({ rate: 0.25 }),
      flatten(),
      dense({ units: 128, activation: 'relu' }),
      dense({ units: 10, activation: 'softmax' }),
    ],
  });
}

await loadWasmBackend();
const step = trainingStep(mlp(), mlpBatch);
const kinds = { stock: () => registerStockKernels({ completed: false }), ours: registerTrainingKernels };
const stepMs = { stock: [] as number[], ours: [] as number[] };
for (let round = -3; round < mlpRounds; round++) {
  for (const kind of ['stock', 'ours'] as const) {
    kinds[kind]();
    const taken = milliseconds(step);
    if (round >= 0) stepMs[kind].push(taken);
  }
}
const [stock, ours] = [median(stepMs.stock), median(stepMs.ours)];
console.log(
  `MLP 784-300-100-10, batch ${mlpBatch}: stock ${stock.toFixed(1)} ms, ours ${ours.toFixed(1)} ms`,
);
console.log(`ratio ${(ours / stock).toFixed(3)} (target at most ${target})`);

for (const batch of [64, 128]) {
  const cnnStep = trainingStep(cnn(), batch);
  for (let i = 0; i < 2; i++) cnnStep();
  const times = Array.from({ length: cnnRounds }, () => milliseconds(cnnStep));
  console.log(
    `CNN, batch ${batch}: ${median(times).toFixed(0)} ms (the stock backend has no filter gradient)`,
  );
}
