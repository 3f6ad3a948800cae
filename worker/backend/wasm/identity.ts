import * as tf from '@tensorflow/tfjs';
import { type KernelCall, reshaped, type TensorInfo, wasmKernel } from './kernel.js';

/** Identity: the same data under a new tensor. The stock kernel copies it. */
function identity({ inputs, backend }: KernelCall<{ x: TensorInfo }, object>): TensorInfo {
  return reshaped(backend, inputs.x, inputs.x.shape);
}

export const identityKernel = wasmKernel(tf.Identity, identity);
