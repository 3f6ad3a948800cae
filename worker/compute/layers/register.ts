import * as tf from '@tensorflow/tfjs';
import { BatchNormalization } from './batch-normalization.js';
import { Dropout, SpatialDropout1D } from './dropout.js';

/**
 * Puts our layers in the place of TensorFlow.js's own of the same class name, for models built from JSON from then
 * on. The other random layers (GaussianNoise, GaussianDropout, AlphaDropout, recurrent dropout) have no seed of their
 * own and draw from `Math.random`, which is the shard's while it computes.
 */
export function registerLayers(): void {
  tf.serialization.registerClass(BatchNormalization);
  tf.serialization.registerClass(Dropout);
  tf.serialization.registerClass(SpatialDropout1D);
}
