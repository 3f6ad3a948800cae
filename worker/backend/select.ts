import * as tf from '@tensorflow/tfjs';
import { InvariantError, LockstepError, messageOf } from '../../shared/errors.js';
import type { Fingerprint } from '../../shared/fingerprint.js';
import { cpuFingerprint, onnxFingerprint, tensorflowFingerprint, wasmFingerprint } from './fingerprint.js';
import { selfTest } from './self-test.js';
import { loadTensorflow } from './tensorflow.js';

/** In the order in which `auto` tries them: the fastest first. */
export const backendNames = ['tensorflow', 'wasm', 'cpu'] as const;
/** `onnx`, which compiles the step, has to be asked for. */
export type BackendName = (typeof backendNames)[number] | 'onnx';

export interface BackendRequest {
  readonly backend: BackendName | 'auto';
  /** Compute threads. Part of the fingerprint; wasm and cpu compute on one, whatever is asked. */
  readonly threads: number;
}

export interface SkippedBackend {
  readonly backend: BackendName;
  readonly reason: string;
  readonly hint: string;
}

export interface LoadedBackend {
  readonly name: BackendName;
  readonly fingerprint: Fingerprint;
  /** What `auto` tried before, and why it went on. Empty for a backend asked for by name. */
  readonly skipped: readonly SkippedBackend[];
}

/** Makes a backend current and says what its bits depend on. */
const loaders: Readonly<Record<BackendName, (threads: number) => Promise<Fingerprint>>> = {
  tensorflow: async (threads) => tensorflowFingerprint(await loadTensorflow(threads), threads),
  wasm: async () => {
    const { loadWasmBackend } = await import('./wasm/load.js');
    await loadWasmBackend();
    // Node runs the module without shared memory, so it has one thread.
    return wasmFingerprint(1);
  },
  onnx: async (threads) => {
    const { loadOnnx } = await import('./onnx.js');
    const failure = await loadOnnx(threads);
    if (failure === null) return onnxFingerprint(threads);
    throw new LockstepError('BACKEND_UNAVAILABLE', `ONNX Runtime does not work here: ${failure}`, {
      hint: 'Choose another backend with --backend, or leave the choice to auto.',
    });
  },
  cpu: async () => {
    await tf.setBackend('cpu');
    return cpuFingerprint();
  },
};

/**
 * Makes a TensorFlow.js backend the current one of this process's `@tensorflow/tfjs`, after it has computed a
 * matrix product and the gradients of a convolution correctly. `auto` takes the first that can.
 *
 * In a thread, `setBackendEnvironment(threads)` must have been called in the process's main thread before.
 *
 * @throws LockstepError BACKEND_UNAVAILABLE if the backend asked for, or with `auto` every one, cannot be used
 */
export async function loadBackend({ backend, threads }: BackendRequest): Promise<LoadedBackend> {
  tf.enableProdMode();
  const skipped: SkippedBackend[] = [];
  for (const name of backend === 'auto' ? backendNames : [backend]) {
    try {
      return { name, fingerprint: await load(name, threads), skipped };
    } catch (error) {
      if (!(error instanceof LockstepError) || backend !== 'auto') throw error;
      skipped.push({ backend: name, reason: error.message, hint: error.hint });
    }
  }
  const reasons = skipped.map(({ backend: name, reason }) => `${name}: ${reason}`).join('; ');
  throw new LockstepError('BACKEND_UNAVAILABLE', `no backend works here (${reasons})`, {
    hint: skipped[0].hint,
  });
}

async function load(name: BackendName, threads: number): Promise<Fingerprint> {
  let failure: string | null;
  let cause: unknown;
  try {
    const fingerprint = await loaders[name](threads);
    await tf.ready();
    failure = await selfTest();
    if (failure === null) return fingerprint;
  } catch (error) {
    if (error instanceof LockstepError || error instanceof InvariantError) throw error;
    failure = messageOf(error).split('\n')[0];
    cause = error;
  }
  throw new LockstepError('BACKEND_UNAVAILABLE', `the ${name} backend does not work here: ${failure}`, {
    hint: 'Run `lockstep doctor` to see which backends work, and choose one with --backend.',
    cause,
  });
}
