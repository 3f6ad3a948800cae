import { isMainThread } from 'node:worker_threads';
import { invariant } from '../../shared/errors.js';

/** Variables that change the bits of native kernels; the fingerprint records those that are set. */
export const determinismFlags = [
  'TF_DETERMINISTIC_OPS',
  'TF_CUDNN_DETERMINISTIC',
  'TF_ENABLE_ONEDNN_OPTS',
  'NVIDIA_TF32_OVERRIDE',
] as const;

/**
 * The environment that the native library reads once, when it is loaded. Give it to the process that computes
 * when that is started, or set it before its compute thread starts: a thread's `process.env` is a copy that
 * native code does not see.
 * @param threads compute threads; they change bits, so they override what the user's environment says
 */
export function backendEnvironment(threads: number): Record<string, string> {
  const environment: Record<string, string> = {
    TF_NUM_INTRAOP_THREADS: String(threads),
    // Eager execution runs one op at a time: a second pool would only compete for the cores.
    TF_NUM_INTEROP_THREADS: '1',
    OMP_NUM_THREADS: String(threads),
    TF_DETERMINISTIC_OPS: '1',
    TF_CUDNN_DETERMINISTIC: '1',
  };
  const defaults = {
    // Several workers share one device; by default the first would take all its memory.
    TF_FORCE_GPU_ALLOW_GROWTH: 'true',
    TF_CPP_MIN_LOG_LEVEL: '2',
  };
  for (const [name, value] of Object.entries(defaults)) environment[name] = process.env[name] ?? value;
  return environment;
}

/**
 * Sets `backendEnvironment(threads)` in this process. In a thread, which cannot, it only checks that the main
 * thread has done so.
 */
export function setBackendEnvironment(threads: number): void {
  for (const [name, value] of Object.entries(backendEnvironment(threads))) {
    if (process.env[name] === value) continue;
    invariant(isMainThread, `${name} must be ${value} before the compute thread starts`);
    process.env[name] = value;
  }
}
