import type * as tf from '@tensorflow/tfjs';
// Registers the stock kernels, which must come first: ours replace some of them.
import '@tensorflow/tfjs-backend-wasm';
import { castKernel } from './cast.js';
import { conv2DKernel, fusedConv2DKernel } from './conv2d.js';
import { conv2DBackpropFilterKernel } from './conv2d-filter-gradient.js';
import { conv2DBackpropInputKernel } from './conv2d-input-gradient.js';
import { depthwiseConv2DKernel, fusedDepthwiseConv2DKernel } from './depthwise-conv2d.js';
import { depthwiseBackpropFilterKernel, depthwiseBackpropInputKernel } from './depthwise-gradients.js';
import { fusedMatMulKernel } from './fused-matmul.js';
import { identityKernel } from './identity.js';
import { batchMatMulKernel } from './matmul.js';
import { maxPoolGradKernel } from './max-pool-gradient.js';
import { preluKernel } from './prelu.js';
import { meanKernel, sumKernel } from './reduce.js';
import { reluGradKernel } from './relu-gradient.js';
import { replaceKernel } from './stock.js';
import { tileKernel } from './tile.js';
import { unsortedSegmentSumKernel } from './unsorted-segment-sum.js';

/** Our kernels of the wasm backend, by the reason for which they exist. */
export const trainingKernels: readonly tf.KernelConfig[] = [
  // The stock backend has none.
  conv2DBackpropFilterKernel,
  depthwiseBackpropFilterKernel,
  depthwiseBackpropInputKernel,
  unsortedSegmentSumKernel,
  reluGradKernel,
  // The stock kernel gives wrong numbers: a bias added once for every 48 inner products of a transposed product, matrices that
  // broadcast against each other, strides larger than the filter, a slope whose axes are not the last.
  fusedMatMulKernel,
  batchMatMulKernel,
  depthwiseConv2DKernel,
  fusedDepthwiseConv2DKernel,
  preluKernel,
  // The stock kernel is slow: scalar loops, or copies of what could be shared.
  conv2DKernel,
  fusedConv2DKernel,
  conv2DBackpropInputKernel,
  maxPoolGradKernel,
  sumKernel,
  meanKernel,
  tileKernel,
  identityKernel,
  castKernel,
];

/**
 * Gives the wasm backend the kernels that training needs, in place of the stock ones of the same name. May be called
 * at any time, before or after the backend is made, and more than once.
 */
export function registerTrainingKernels(): void {
  for (const kernel of trainingKernels) replaceKernel(kernel);
}
