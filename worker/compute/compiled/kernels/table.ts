import type { Provider } from '../onnx/runtime-package.js';
import { convolutionKernels } from './convolution.js';
import { elementwiseKernels } from './elementwise.js';
import { indexingKernels } from './indexing.js';
import type { KernelMapping, KernelTable } from './kernel.js';
import { matrixKernels } from './matrix.js';
import { poolingKernels } from './pooling.js';
import { reductionKernels } from './reduction.js';
import { resizeKernels } from './resize.js';
import { shapeKernels } from './shape.js';
import { webgpuKernels } from './webgpu.js';

/** Every kernel that has a mapping, by its TensorFlow.js name. `Identity` needs none: a trace sees through it. */
export const kernelTable: KernelTable = {
  ...elementwiseKernels,
  ...reductionKernels,
  ...shapeKernels,
  ...matrixKernels,
  ...convolutionKernels,
  ...poolingKernels,
  ...resizeKernels,
  ...indexingKernels,
};

/** What a provider's graphs are made of, where it is another. */
const ofProviders: Readonly<Record<Provider, KernelTable>> = { cpu: {}, cuda: {}, webgpu: webgpuKernels };

/** How a kernel becomes operators that a provider has. */
export const mappingFor = (kernel: string, provider: Provider): KernelMapping | undefined =>
  ofProviders[provider][kernel] ?? kernelTable[kernel];
