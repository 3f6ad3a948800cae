import type { BackendWasm } from '@tensorflow/tfjs-backend-wasm';
import { LockstepError } from '../../../shared/errors.js';

/** What a 32-bit address can reach. */
const heapLimitBytes = 2 ** 32;

/** The part of the library's module that its types leave to Emscripten's, which are not installed. */
interface EmscriptenHeap {
  _malloc(bytes: number): number;
  _free(address: number): void;
}

const guarded = new WeakSet<BackendWasm>();

/**
 * Makes an allocation that fails throw. The stock backend takes the null address it then gets for a tensor's and
 * writes over whatever lies there.
 */
export function guardAllocation(backend: BackendWasm): void {
  if (guarded.has(backend)) return;
  guarded.add(backend);
  const heap = backend.wasm as typeof backend.wasm & EmscriptenHeap;
  // The loader's _malloc puts the real one in its own place when first called: only then can it be wrapped.
  heap._free(heap._malloc(1));
  const allocate = heap._malloc;
  heap._malloc = (bytes) => {
    const address = bytes < heapLimitBytes ? allocate(bytes) : 0;
    if (address === 0 && bytes > 0) {
      throw new LockstepError('WORKER_OUT_OF_MEMORY', `the wasm heap has no room for ${bytes} bytes more`, {
        hint: 'Raise --shards, so that each worker computes fewer samples at a time, or lower the batch size.',
      });
    }
    return address;
  };
}
