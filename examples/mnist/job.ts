/**
 * Reads the handwritten digits of MNIST with a convolutional network:
 *
 *   lockstep train examples/mnist/job.ts --data DIR --workers 2
 */
import * as tf from '@tensorflow/tfjs';
import { adam, cosineDecay, defineJob } from 'lockstep';
import { mnist, trainingRows } from './data.js';

const batchSize = 64;
const epochs = 3;
const steps = epochs * Math.ceil(trainingRows / batchSize);

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
  data: mnist,
  loss: 'sparseCategoricalCrossentropy',
  optimizer: adam({ learningRate: cosineDecay({ initialLearningRate: 1e-3, decaySteps: steps }) }),
  metrics: ['accuracy'],
  batchSize,
  epochs,
});
