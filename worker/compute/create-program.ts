import type { Fingerprint } from '../../shared/fingerprint.js';
import { hasRunJobCode } from '../../shared/job-file.js';
import type { JobFunctions } from '../../shared/job-functions.js';
import type { ProgramSpec } from '../../shared/program.js';
import type { BuiltProgram } from './built-program.js';
import { providerOf } from './compiled/onnx/runtime-package.js';
import { stepFolder } from './compiled/step-folder.js';
import { createEagerProgram } from './eager-program.js';

/**
 * Builds the program that the fingerprint of the loaded backend promises.
 *
 * @param functions the job's own losses and metrics; empty if it has none
 * @throws LockstepError MODEL_UNSUPPORTED, CODE_NOT_PORTABLE
 */
export async function createProgram(
  spec: ProgramSpec,
  functions: JobFunctions,
  { backend, threads }: Pick<Fingerprint, 'backend' | 'threads'>,
): Promise<BuiltProgram> {
  const provider = providerOf(backend);
  if (provider === null) return createEagerProgram(spec, functions);
  const { createCompiledProgram } = await import('./compiled/compiled-program.js');
  // What a job's own code makes of a step follows from more than its spec: from all that it imports.
  const folder = hasRunJobCode() ? null : stepFolder();
  return createCompiledProgram(spec, functions, threads, provider, folder);
}
