import { LockstepError } from '../../shared/errors.js';
import { readJobFile } from '../../shared/job-file.js';
import type { JobFunctions } from '../../shared/job-functions.js';

/**
 * The job's own layers, losses and metrics, from this machine's copy of its file. The path is the worker's own: no
 * peer can name one.
 * @param jobSha256 of the file the run uses; null if it needs none
 * @throws LockstepError CODE_NOT_PORTABLE
 */
export async function jobFunctions(jobPath: string | null, jobSha256: string | null): Promise<JobFunctions> {
  if (jobSha256 === null) return new Map();
  if (jobPath === null) {
    throw new LockstepError(
      'CODE_NOT_PORTABLE',
      'the run uses layers, losses or metrics that its job file defines',
      {
        hint: 'Start this worker with --job and its own copy of the job file.',
      },
    );
  }
  const { sha256, functions } = await readJobFile(jobPath);
  if (sha256 !== jobSha256) {
    throw new LockstepError('CODE_NOT_PORTABLE', `${jobPath} differs from the job file of the run`, {
      hint: 'Copy the same version of the job file to every machine.',
    });
  }
  return functions;
}
