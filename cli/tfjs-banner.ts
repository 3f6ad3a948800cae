import * as tf from '@tensorflow/tfjs';

/**
 * TensorFlow.js greets every process that uses its `cpu` backend with advice to install another one. The
 * coordinator only builds models with it; what computes, and how to have it faster, is `lockstep doctor`'s to say.
 */
export function silenceTfjsBanner(): void {
  const backend = tf.backend() as { firstUse?: boolean };
  if (backend.firstUse === true) backend.firstUse = false;
}
