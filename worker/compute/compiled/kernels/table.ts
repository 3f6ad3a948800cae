import { convolutionKernels } from './convolution.js';
import { elementwiseKernels } from './elementwise.js';
import { indexingKernels } from './indexing.js';
import type { KernelTable } from './kernel.js';
import { matrixKernels } from './matrix.js';
import { poolingKernels } from './pooling.js';
import { reductionKernels } from './reduction.js';
import { resizeKernels } from './resize.js';
import { shapeKernels } from './shape.js';

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
