/**
 * Reads the handwritten digits of MNIST with a fully connected network:
 *
 *   lockstep train examples/mnist/mlp.ts --data DIR --workers 2
 */
import * as tf from '@tensorflow/tfjs';
import { adam, defineJob } from 'lockstep';
import { mnist } from './data.js';

export default defineJob({
  model: () =>
    tf.sequential({
      layers: [
        tf.layers.rescaling({ scale: 1 / 255, offset: 0, inputShape: [28, 28, 1] }),
        tf.layers.flatten(),
        tf.layers.dense({ units: 300, activation: 'relu' }),
        tf.layers.dense({ units: 100, activation: 'relu' }),
        tf.layers.dense({ units: 10, activation: 'softmax' }),
      ],
    }),
  data: mnist,
  loss: 'sparseCategoricalCrossentropy',
  optimizer: adam({ learningRate: 1e-3 }),
  metrics: ['accuracy'],
  batchSize: 64,
  epochs: 10,
});
