/**
 * Reads handwritten digits, drawn by render.ts, with a convolutional network:
 *
 *   lockstep train examples/digits/job.ts --workers 2
 */
import * as tf from '@tensorflow/tfjs';
import { adam, cosineDecay, defineJob, fromArrays, lambdaCallback } from 'lockstep';
import { renderDigits } from './render.js';

const trainingImages = 6_000;
const heldOutImages = 1_000;
const batchSize = 64;
const epochs = 4;
const steps = epochs * Math.ceil(trainingImages / batchSize);

export default defineJob({
  model: () =>
    tf.sequential({
      layers: [
        // Images travel as bytes; the worker scales them.
        tf.layers.rescaling({ scale: 1 / 255, offset: 0, inputShape: [28, 28, 1] }),
        tf.layers.conv2d({ filters: 32, kernelSize: 3, useBias: false }),
        // The default momentum of 0.99 averages over more steps than a few short epochs have.
        tf.layers.batchNormalization({ momentum: 0.9 }),
        tf.layers.reLU(),
        tf.layers.conv2d({ filters: 64, kernelSize: 3, activation: 'relu' }),
        tf.layers.maxPooling2d({ poolSize: 2 }),
        tf.layers.dropout({ rate: 0.25 }),
        tf.layers.flatten(),
        tf.layers.dense({ units: 128, activation: 'relu' }),
        tf.layers.dense({ units: 10, activation: 'softmax' }),
      ],
    }),
  data({ seed }) {
    const draw = (count: number, set: number) => {
      const { images, labels } = renderDigits({ count, seed: 2 * seed + set });
      return fromArrays({ x: images, y: labels });
    };
    return { train: draw(trainingImages, 0), validation: draw(heldOutImages, 1) };
  },
  loss: 'sparseCategoricalCrossentropy',
  optimizer: adam({ learningRate: cosineDecay({ initialLearningRate: 1.5e-3, decaySteps: steps }) }),
  metrics: ['accuracy'],
  batchSize,
  epochs,
  callbacks: [
    lambdaCallback({
      onTrainEnd({ val_accuracy }, training) {
        if (val_accuracy === undefined) return;
        const percent = (100 * val_accuracy).toFixed(1);
        training.print(`Learnt to read digits: ${percent} % of those that it was not trained on are right.`);
      },
    }),
  ],
});
