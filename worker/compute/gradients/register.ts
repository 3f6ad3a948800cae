import { registerAveragePoolGradients } from './average-pool.js';
import { registerReluGradient } from './relu.js';
import { registerResizeGradients } from './resize.js';

/** Puts our gradients in the place of TensorFlow.js's own, for all backends. */
export function registerGradients(): void {
  registerAveragePoolGradients();
  registerReluGradient();
  registerResizeGradients();
}
