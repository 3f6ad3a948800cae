import { InvariantError, LockstepError, messageOf } from '../../shared/errors.js';
import { errnoOf } from './disk.js';

const hints: Readonly<Record<string, string>> = {
  ENOSPC: 'Free some space on that disk, or choose another folder; what was saved before is intact.',
  EDQUOT: 'Free some of your quota, or choose another folder; what was saved before is intact.',
  EFBIG:
    'Raise the limit on the size of files (ulimit -f), or of that file system; what was saved before is intact.',
  EACCES: 'Choose a folder that you may write to.',
  EPERM: 'Choose a folder that you may write to.',
  EROFS: 'Choose a folder on a disk that can be written to.',
  ENOTDIR: 'Choose another folder: a file is in the way.',
  EEXIST: 'Choose another folder: a file is in the way.',
};

/** What a failed file operation below `path` means to the user. Bugs and coded errors stay what they are. */
export function unwritable(path: string, cause: unknown): Error {
  if (cause instanceof LockstepError || cause instanceof InvariantError || errnoOf(cause) === undefined) {
    return cause instanceof Error ? cause : new InvariantError(messageOf(cause));
  }
  return new LockstepError('CHECKPOINT_UNWRITABLE', `cannot write to ${path}: ${messageOf(cause)}`, {
    hint: hints[errnoOf(cause) ?? ''] ?? 'Check the disk, or choose another folder.',
    cause,
  });
}
