import * as tf from '@tensorflow/tfjs';
import { trainingKernels } from '../worker/backend/wasm/register.js';
import { replacedKernel } from '../worker/backend/wasm/stock.js';

/**
 * Gives the wasm backend its stock kernels back, after ours have been registered.
 * @param completed whether it keeps those of ours for which it has none of its own: without the filter gradient it
 *   cannot train a CNN at all
 */
export function registerStockKernels({ completed }: { readonly completed: boolean }): void {
  for (const { kernelName } of trainingKernels) {
    const stock = replacedKernel(kernelName);
    if (stock === undefined && completed) continue;
    tf.unregisterKernel(kernelName, 'wasm');
    if (stock !== undefined) tf.registerKernel(stock);
  }
}
