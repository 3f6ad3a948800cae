import * as tf from '@tensorflow/tfjs';
import { activated, type FusedAttributes, type FusedInputs, startFromBias } from './activation.js';
import { type KernelCall, type TensorInfo, wasmKernel } from './kernel.js';
import { addMatMul, productShape } from './matmul.js';

type Inputs = FusedInputs & { a: TensorInfo; b: TensorInfo };
type Attributes = FusedAttributes & { transposeA: boolean; transposeB: boolean };

/** _FusedMatMul: activation(a·b + bias), either matrix transposed; float32, a [..., m, k], b [..., k, n]. */
function fusedMatMul({ inputs, attrs, backend }: KernelCall<Inputs, Attributes>): TensorInfo {
  const out = startFromBias(backend, productShape(inputs, attrs), inputs.bias);
  addMatMul(backend, inputs, attrs, out);
  return activated(backend, out, inputs, attrs);
}

export const fusedMatMulKernel = wasmKernel(tf._FusedMatMul, fusedMatMul);
