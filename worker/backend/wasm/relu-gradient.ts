import { addressOf, type KernelCall, type TensorInfo, wasmKernel } from './kernel.js';
import { simdOf } from './simd/module.js';

interface Inputs {
  dy: TensorInfo;
  x: TensorInfo;
}

/** ReluGrad: dy where x is above 0, else 0; float32, all of one shape. One pass instead of a Step and a product. */
function reluGrad({ inputs: { dy, x }, backend }: KernelCall<Inputs, object>): TensorInfo {
  const dx = backend.makeOutput(x.shape, 'float32');
  const count = x.shape.reduce((size, dim) => size * dim, 1);
  simdOf(backend).reluGradient(addressOf(backend, dy), addressOf(backend, x), addressOf(backend, dx), count);
  return dx;
}

export const reluGradKernel = wasmKernel('ReluGrad', reluGrad);
