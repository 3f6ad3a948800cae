import type * as tf from '@tensorflow/tfjs';
// Registers the stock kernels, which must come first: ours replace some of them.
import '@tensorflow/tfjs-backend-wasm';
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
import { replaceKernel } from './stock.js';
import { tileKernel } from './tile.js';
import { unsortedSegmentSumKernel } from './unsorted-segment-sum.js';

/** Our kernels of the wasm backend: those it lacks, and those whose stock form is slow or wrong. */
export const trainingKernels: readonly tf.KernelConfig[] = [
  batchMatMulKernel,
  fusedMatMulKernel,
  conv2DKernel,
  fusedConv2DKernel,
  conv2DBackpropFilterKernel,
  conv2DBackpropInputKernel,
  depthwiseConv2DKernel,
  fusedDepthwiseConv2DKernel,
  depthwiseBackpropFilterKernel,
  depthwiseBackpropInputKernel,
  maxPoolGradKernel,
  unsortedSegmentSumKernel,
  sumKernel,
  meanKernel,
  tileKernel,
  preluKernel,
  identityKernel,
];

/**
 * Gives the wasm backend the kernels that training needs, in place of the stock ones of the same name. May be called
 * at any time, before or after the backend is made, and more than once.
 */
export function registerTrainingKernels(): void {
  for (const kernel of trainingKernels) replaceKernel(kernel);
}
