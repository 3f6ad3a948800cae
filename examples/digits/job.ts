import * as tf from '@tensorflow/tfjs';
import { adam, defineJob, fromArrays } from 'lockstep';
import { renderDigits } from './render.js';

const trainingImages = 6_000;
const heldOutImages = 1_000;

// lockstep train examples/digits/job.ts --workers 2
export default defineJob({
  model: () =>
    tf.sequential({
      layers: [
        tf.layers.rescaling({ scale: 1 / 255, offset: 0, inputShape: [28, 28, 1] }),
        tf.layers.conv2d({ filters: 32, kernelSize: 3, useBias: false }),
        tf.layers.batchNormalization(),
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
  optimizer: adam({ learningRate: 1e-3 }),
  metrics: ['accuracy'],
  batchSize: 64,
  epochs: 3,
});
