import type { BackendWasm } from '@tensorflow/tfjs-backend-wasm';
import { LockstepError } from '../../../../shared/errors.js';
import { assembleModule } from '../../../../shared/simd/assembler.js';
import { addRows } from './add-rows.js';
import { addMaxPoolGradient } from './max-pool-gradient.js';
import { addMultipliedRows } from './multiply-rows.js';
import { addProduct } from './product.js';
import { addProductTransposed } from './product-transposed.js';
import { reluGradient } from './relu-gradient.js';
import { addTransposedProduct } from './transposed-product.js';
import { winogradTransforms } from './winograd.js';

const functions = {
  addMaxPoolGradient,
  addMultipliedRows,
  addProduct,
  addProductTransposed,
  addRows,
  addTransposedProduct,
  reluGradient,
  ...winogradTransforms,
} as const;

/** Our SIMD functions, bound to one backend's memory. Arguments are i32: addresses, byte steps, counts. */
export type SimdFunctions = Record<keyof typeof functions, (...operands: number[]) => void>;

const instances = new WeakMap<BackendWasm, SimdFunctions>();

/**
 * The SIMD functions working on the memory of `backend`, assembled on first use.
 * @throws LockstepError BACKEND_UNAVAILABLE if the backend does not show its memory
 */
export function simdOf(backend: BackendWasm): SimdFunctions {
  const known = instances.get(backend);
  if (known !== undefined) return known;
  const exported: unknown = Reflect.get(backend.wasm, 'asm');
  // The exports of a WebAssembly instance have no prototype, so `instanceof Object` would be false.
  const memory: unknown =
    typeof exported === 'object' && exported !== null ? Reflect.get(exported, 'memory') : undefined;
  if (!(memory instanceof WebAssembly.Memory)) {
    throw new LockstepError('BACKEND_UNAVAILABLE', 'the wasm backend does not show its memory', {
      hint: 'Install @tensorflow/tfjs-backend-wasm 4.22.0, the version Lockstep is built for.',
    });
  }
  const module = new WebAssembly.Module(assembleModule(Object.values(functions)));
  const instance = new WebAssembly.Instance(module, { env: { memory } });
  const bound = instance.exports as SimdFunctions;
  instances.set(backend, bound);
  return bound;
}
