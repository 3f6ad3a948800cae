import * as tf from '@tensorflow/tfjs';
import { type KernelCall, reshaped, type TensorInfo, wasmKernel } from './kernel.js';
import { runStock } from './stock.js';

/** Cast: to its own dtype the same data under a new tensor (every relu's gradient asks for it); the stock kernel copies. */
function cast({ inputs, attrs, backend }: KernelCall<{ x: TensorInfo }, { dtype: tf.DataType }>): TensorInfo {
  const { x } = inputs;
  if (x.dtype === attrs.dtype) return reshaped(backend, x, x.shape);
  return runStock(tf.Cast, backend, { x }, { ...attrs });
}

export const castKernel = wasmKernel(tf.Cast, cast);
