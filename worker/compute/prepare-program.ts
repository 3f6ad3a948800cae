import type { BackendName } from '../../shared/backends.js';
import type { Fingerprint } from '../../shared/fingerprint.js';
import type { JobFunctions } from '../../shared/job-functions.js';
import { cutToText } from '../../shared/protocol/fields.js';
import type { ToWorkerOf } from '../../shared/protocol/to-worker.js';
import type { loadBackend, SkippedBackend } from '../backend/select.js';
import type { BuiltProgram, Trial } from './built-program.js';
import { runtimeExistsHere } from './compiled/onnx/runtime-package.js';
import type { createProgram } from './create-program.js';
import { notCompiled } from './not-compiled.js';

/** What a program is made with. */
export interface ProgramPorts {
  readonly loadBackend: typeof loadBackend;
  readonly createProgram: typeof createProgram;
}

/** A program that may compute a run's shards. */
export interface PreparedProgram extends BuiltProgram {
  readonly fingerprint: Fingerprint;
  /** Why the model is computed op by op although a compiled program was preferred, in one line; else null. */
  readonly fallback: string | null;
}

type Wanted = Pick<ToWorkerOf<'setup'>, 'program' | 'backend' | 'threads' | 'canary'>;

/**
 * Builds the program for what was asked for, and decides before the first shard whether a compiled one is trusted: it
 * is tried on made-up shards. What `auto` finds not to be is computed op by op; what is asked for by name is an error.
 * @throws LockstepError BACKEND_UNAVAILABLE, MODEL_UNSUPPORTED, CODE_NOT_PORTABLE
 */
export async function prepareProgram(
  { program: spec, backend, threads, canary }: Wanted,
  functions: JobFunctions,
  ports: ProgramPorts,
): Promise<PreparedProgram> {
  const { fingerprint, skipped } = await ports.loadBackend({ backend, threads });
  const built = await ports.createProgram(spec, functions, fingerprint);
  const trial: Trial = (await built.tryOut?.(canary !== null)) ?? { verdict: 'fits' };
  // Whoever asks for it by name may know data that it can compute; the first real shard is compared all the same.
  const isTaken = trial.verdict === 'fits' || (trial.verdict === 'unknown' && backend !== 'auto');
  if (isTaken) return { ...built, fingerprint, fallback: missed(fingerprint, skipped) };
  built.program.dispose();
  if (backend !== 'auto') throw notCompiled(trial.reason);
  const { name, fingerprint: eager } = await ports.loadBackend({ backend, threads, opByOp: true });
  const why =
    trial.verdict === 'refused' ? trial.reason : `it could not be tried on made-up data: ${trial.reason}`;
  return {
    ...(await ports.createProgram(spec, functions, eager)),
    fingerprint: eager,
    fallback: opByOp(name, why),
  };
}

function opByOp(backend: BackendName, why: string): string {
  return cutToText(`the model is not compiled but computed op by op on ${backend}: ${why}`);
}

/** What is said of a processor that could do better: ONNX Runtime exists for it and could not be taken. */
function missed({ backend, device }: Fingerprint, skipped: readonly SkippedBackend[]): string | null {
  const compiled = skipped.find((one) => one.backend === 'onnx:cpu');
  if (compiled === undefined || device !== null || !runtimeExistsHere()) return null;
  return opByOp(backend, `${compiled.reason}. ${compiled.hint}`);
}
