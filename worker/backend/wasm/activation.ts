import type { BackendWasm } from '@tensorflow/tfjs-backend-wasm';
import { invariant } from '../../../shared/errors.js';
import { dispose, floats, runKernel, type TensorInfo, zeros } from './kernel.js';

/** What fused kernels take besides their operands. */
export interface FusedInputs {
  bias?: TensorInfo;
  preluActivationWeights?: TensorInfo;
}

export interface FusedAttributes {
  activation: string;
  leakyreluAlpha?: number;
}

const unaryActivations: Readonly<Record<string, string>> = {
  relu: 'Relu',
  relu6: 'Relu6',
  sigmoid: 'Sigmoid',
  elu: 'Elu',
};

/** A new float32 tensor whose every row (last axis) is the bias, or zeros without one: what products add to. */
export function startFromBias(
  backend: BackendWasm,
  shape: number[],
  bias: TensorInfo | undefined,
): TensorInfo {
  const out = zeros(backend, shape);
  if (bias === undefined || out.shape.includes(0)) return out;
  const width = shape[shape.length - 1];
  const biasSize = bias.shape.reduce((size, length) => size * length, 1);
  if (biasSize === 1 || biasSize !== bias.shape.at(-1) || biasSize !== width) {
    const sum = runKernel('Add', backend, { a: out, b: bias });
    dispose(backend, out);
    return sum;
  }
  const values = floats(backend, out);
  values.set(floats(backend, bias));
  // Doubling copies: log2(rows) memory moves instead of one per row.
  for (let filled = width; filled < values.length; filled *= 2) values.copyWithin(filled, 0, filled);
  return out;
}

/** Applies a fused kernel's activation to `x`, which it takes over. */
export function activated(
  backend: BackendWasm,
  x: TensorInfo,
  { preluActivationWeights }: FusedInputs,
  { activation, leakyreluAlpha }: FusedAttributes,
): TensorInfo {
  if (activation === 'linear') return x;
  const apply = (): TensorInfo => {
    if (activation === 'leakyrelu')
      return runKernel('LeakyRelu', backend, { x }, { alpha: leakyreluAlpha ?? 0.2 });
    if (activation === 'prelu') {
      invariant(preluActivationWeights, 'prelu comes with its weights');
      return runKernel('Prelu', backend, { x, alpha: preluActivationWeights });
    }
    const kernelName = unaryActivations[activation];
    invariant(kernelName, `${activation} is no fused activation`);
    return runKernel(kernelName, backend, { x });
  };
  const result = apply();
  dispose(backend, x);
  return result;
}
