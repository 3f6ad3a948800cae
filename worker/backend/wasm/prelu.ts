import * as tf from '@tensorflow/tfjs';
import { dispose, type KernelCall, runKernel, type TensorInfo, wasmKernel } from './kernel.js';
import { runStock } from './stock.js';

interface Inputs {
  x: TensorInfo;
  alpha: TensorInfo;
}

/**
 * Prelu: x where positive, alpha·x elsewhere, alpha broadcast against x. The stock kernel repeats alpha end to end
 * whatever its shape, which is right only where its axes are the last ones of x; for others alpha is spread first.
 */
function prelu({ inputs, backend }: KernelCall<Inputs, object>): TensorInfo {
  const { x, alpha } = inputs;
  const alphaShape = [...x.shape.map(() => 1), ...alpha.shape].slice(-x.shape.length);
  const firstOwn = alphaShape.findIndex((length) => length !== 1);
  const isSuffix =
    firstOwn < 0 || alphaShape.slice(firstOwn).every((length, i) => length === x.shape[firstOwn + i]);
  if (isSuffix) return runStock(tf.Prelu, backend, { x, alpha }, {});
  const reps = x.shape.map((length, axis) => length / alphaShape[axis]);
  const spread = runKernel(tf.Tile, backend, { x: { ...alpha, shape: alphaShape } }, { reps });
  const result = runStock(tf.Prelu, backend, { x, alpha: spread }, {});
  dispose(backend, spread);
  return result;
}

export const preluKernel = wasmKernel(tf.Prelu, prelu);
