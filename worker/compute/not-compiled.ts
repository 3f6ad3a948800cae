import { LockstepError } from '../../shared/errors.js';

/** The error of a run that is to be compiled and cannot be. @param reason names the kernel and the layer */
export function notCompiled(reason: string): LockstepError {
  return new LockstepError('MODEL_UNSUPPORTED', `the model cannot be compiled: ${reason}`, {
    hint: 'Leave --backend out, and it is computed op by op; or name a backend: --backend wasm.',
  });
}
