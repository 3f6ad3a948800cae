import * as tf from '@tensorflow/tfjs';
import type { BackendChoice, BackendName } from '../../shared/backends.js';
import { InvariantError, LockstepError, messageOf } from '../../shared/errors.js';
import type { Fingerprint } from '../../shared/fingerprint.js';
import { cpuFingerprint, tensorflowFingerprint, wasmFingerprint } from './fingerprint.js';
import { hasGpu, hasNvidiaGpu } from './gpu.js';
import { selfTest } from './self-test.js';
import { hasGpuPackage, loadTensorflow } from './tensorflow.js';

export interface BackendRequest {
  readonly backend: BackendChoice;
  /** Compute threads. Part of the fingerprint; wasm and cpu compute on one, whatever is asked. */
  readonly threads: number;
  /** Has `auto` choose among the backends that compute op by op only. */
  readonly opByOp?: boolean;
}

export interface SkippedBackend {
  readonly backend: BackendName;
  readonly reason: string;
  readonly hint: string;
}

export interface LoadedBackend {
  readonly name: BackendName;
  readonly fingerprint: Fingerprint;
  /** What was tried before, and why it was not taken. Empty for a backend asked for by its own name. */
  readonly skipped: readonly SkippedBackend[];
}

/** Makes a backend current and says what its bits depend on. */
const loaders: Readonly<Record<BackendName, (threads: number) => Promise<Fingerprint>>> = {
  tensorflow: async (threads) => tensorflowFingerprint(await loadTensorflow(threads), threads),
  'onnx:cuda': async (threads) => (await import('./onnx.js')).loadOnnx('cuda', threads),
  'onnx:webgpu': async (threads) => (await import('./onnx.js')).loadOnnx('webgpu', threads),
  'onnx:cpu': async (threads) => (await import('./onnx.js')).loadOnnx('cpu', threads),
  wasm: async () => {
    const { loadWasmBackend } = await import('./wasm/load.js');
    await loadWasmBackend();
    // Node runs the module without shared memory, so it has one thread.
    return wasmFingerprint(1);
  },
  cpu: async () => {
    await tf.setBackend('cpu');
    return cpuFingerprint();
  },
};

interface Candidate {
  readonly name: BackendName;
  /** Whether it is worth its place on a GPU only. */
  readonly onGpu?: true;
}

/** What to try, the fastest first. GPUs are looked for where there are signs of one. */
function candidates({ backend, opByOp = false }: BackendRequest): Candidate[] {
  const providers: Candidate[] = [
    ...(hasNvidiaGpu() ? [{ name: 'onnx:cuda', onGpu: true } as const] : []),
    ...(hasGpu() ? [{ name: 'onnx:webgpu', onGpu: true } as const] : []),
    { name: 'onnx:cpu' },
  ];
  if (backend === 'onnx') return providers;
  if (backend !== 'auto') return [{ name: backend }];
  const gpuTensorflow: Candidate[] =
    hasNvidiaGpu() && hasGpuPackage() ? [{ name: 'tensorflow', onGpu: true }] : [];
  const rest: Candidate[] = [{ name: 'tensorflow' }, { name: 'wasm' }, { name: 'cpu' }];
  return opByOp ? rest : [...gpuTensorflow, ...providers, ...rest];
}

/**
 * Makes a TensorFlow.js backend the current one of this process's `@tensorflow/tfjs`, after it has computed a
 * matrix product and the gradients of a convolution correctly. `auto` and `onnx` take the first that can. For `onnx`
 * it is the backend that holds the models and computes what compiled results are compared with.
 *
 * In a thread, `setBackendEnvironment(threads)` must have been called in the process's main thread before.
 *
 * @throws LockstepError BACKEND_UNAVAILABLE if none of what was asked for can be used
 */
export async function loadBackend(request: BackendRequest): Promise<LoadedBackend> {
  tf.enableProdMode();
  const skipped: SkippedBackend[] = [];
  const tried = candidates(request);
  for (const { name, onGpu = false } of tried) {
    try {
      const fingerprint = await load(name, request.threads);
      if (!onGpu || fingerprint.device !== null) return { name, fingerprint, skipped };
      skipped.push({ backend: name, reason: 'it found no GPU', hint: 'Run: lockstep doctor' });
    } catch (error) {
      if (!(error instanceof LockstepError) || tried.length === 1) throw error;
      skipped.push({ backend: name, reason: error.message, hint: error.hint });
    }
  }
  const reasons = skipped.map(({ backend: name, reason }) => `${name}: ${reason}`).join('; ');
  throw new LockstepError('BACKEND_UNAVAILABLE', `no backend works here (${reasons})`, {
    hint: skipped[skipped.length - 1].hint,
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
