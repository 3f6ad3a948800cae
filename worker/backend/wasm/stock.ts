import * as tf from '@tensorflow/tfjs';
import type { BackendWasm } from '@tensorflow/tfjs-backend-wasm';
import { invariant } from '../../../shared/errors.js';
import type { TensorInfo } from './kernel.js';

const replaced = new Map<string, tf.KernelConfig>();

/** The stock kernel that ours stands in for, if there is one. */
export function replacedKernel(kernelName: string): tf.KernelConfig | undefined {
  return replaced.get(kernelName);
}

/** Puts `ours` in the place of the stock kernel of the same name. Doing it twice changes nothing. */
export function replaceKernel(ours: tf.KernelConfig): void {
  const current = tf.getKernel(ours.kernelName, 'wasm');
  if (current?.kernelFunc === ours.kernelFunc) return;
  if (current !== undefined) {
    replaced.set(ours.kernelName, current);
    tf.unregisterKernel(ours.kernelName, 'wasm');
  }
  // Stock kernels call each other directly, so the replaced one is still set up with the backend.
  tf.registerKernel({ ...ours, setupFunc: current?.setupFunc, disposeFunc: current?.disposeFunc });
}

/** Runs the stock kernel that ours replaced, for the cases that ours leaves to it. */
export function runStock(
  kernelName: string,
  backend: BackendWasm,
  inputs: tf.NamedTensorInfoMap,
  attrs: tf.NamedAttrMap,
): TensorInfo {
  const stock = replaced.get(kernelName);
  invariant(stock, `${kernelName} replaced no stock kernel`);
  const result = stock.kernelFunc({ inputs, backend, attrs });
  invariant(!Array.isArray(result), `kernel ${kernelName} gives one tensor`);
  return result;
}
