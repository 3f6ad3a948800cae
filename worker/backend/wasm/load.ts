import { createRequire } from 'node:module';
import path from 'node:path';
import * as tf from '@tensorflow/tfjs';
import { BackendWasm, setThreadsCount, setWasmPaths } from '@tensorflow/tfjs-backend-wasm';
import { LockstepError } from '../../../shared/errors.js';
import { guardAllocation } from './allocation.js';
import { registerTrainingKernels } from './register.js';
import { simdOf } from './simd/module.js';

const require = createRequire(import.meta.url);

/**
 * Makes the wasm backend with its training kernels the current backend. It computes on one thread: the library's
 * threaded build is switched off under Node (tfjs issue 3830), and the same inputs give the same
 * bits every time.
 * @throws LockstepError BACKEND_UNAVAILABLE if it cannot be loaded
 */
export async function loadWasmBackend(): Promise<void> {
  setWasmPaths(`${path.dirname(require.resolve('@tensorflow/tfjs-backend-wasm'))}${path.sep}`);
  setThreadsCount(1);
  registerTrainingKernels();
  const loaded = await withoutNewProcessListeners(() => tf.setBackend('wasm'));
  const backend = tf.backend();
  if (!loaded || !(backend instanceof BackendWasm)) {
    throw new LockstepError('BACKEND_UNAVAILABLE', 'the wasm backend could not be loaded', {
      hint: 'Check that @tensorflow/tfjs-backend-wasm is installed and that Node.js allows WebAssembly.',
    });
  }
  guardAllocation(backend);
  simdOf(backend);
}

/**
 * Runs `load` and takes away the listeners it put on the process: the library's loader rethrows every uncaught error
 * and unhandled rejection, which would print its own 100 kB of source in place of the error.
 */
async function withoutNewProcessListeners<T>(load: () => Promise<T>): Promise<T> {
  const events = ['uncaughtException', 'unhandledRejection'] as const;
  const before = events.map((event) => new Set(process.rawListeners(event)));
  try {
    return await load();
  } finally {
    for (const [i, event] of events.entries()) {
      for (const listener of process.rawListeners(event)) {
        if (!before[i].has(listener)) process.removeListener(event, listener as (...args: unknown[]) => void);
      }
    }
  }
}
