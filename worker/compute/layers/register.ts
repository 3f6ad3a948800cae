import * as tf from '@tensorflow/tfjs';
import { BatchNormalization } from './batch-normalization.js';
import { AlphaDropout, Dropout, SpatialDropout1D } from './dropout.js';
import { GaussianDropout, GaussianNoise } from './gaussian.js';

/**
 * Puts our layers in the place of TensorFlow.js's own of the same class name, for models built from JSON from then on.
 */
export function registerLayers(): void {
  tf.serialization.registerClass(BatchNormalization);
  tf.serialization.registerClass(Dropout);
  tf.serialization.registerClass(SpatialDropout1D);
  tf.serialization.registerClass(AlphaDropout);
  tf.serialization.registerClass(GaussianDropout);
  tf.serialization.registerClass(GaussianNoise);
}
