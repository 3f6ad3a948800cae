import { readFile } from 'node:fs/promises';
import { LockstepError, messageOf } from '../shared/errors.js';

/** @throws LockstepError BAD_OPTION if the file cannot be read */
export async function readPem(option: string, file: string): Promise<string> {
  try {
    return await readFile(file, 'utf8');
  } catch (cause) {
    throw new LockstepError('BAD_OPTION', `${option} ${file} cannot be read: ${messageOf(cause)}`, {
      hint: 'Give a file in PEM that this user may read.',
      cause,
    });
  }
}
