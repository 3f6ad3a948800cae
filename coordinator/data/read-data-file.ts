import { readFile } from 'node:fs/promises';
import { promisify } from 'node:util';
import { gunzip } from 'node:zlib';
import { LockstepError, messageOf } from '../../shared/errors.js';

/** What a compressed file may become. */
const maxBytes = 4 * 1024 ** 3;

const inflate = promisify(gunzip);

/**
 * The bytes of a data file, decompressed if they are gzip.
 * @throws LockstepError DATA_NOT_FOUND, DATA_CORRUPT
 */
export async function readDataFile(path: string): Promise<Buffer> {
  const bytes = await readFile(path).catch((cause: NodeJS.ErrnoException) => {
    const what = cause.code === 'ENOENT' ? 'does not exist' : `cannot be read: ${cause.message}`;
    throw new LockstepError('DATA_NOT_FOUND', `the data file ${path} ${what}`, {
      hint: 'Look at --data DIR and at the path in the job.',
      cause,
    });
  });
  const isGzip = bytes.length >= 2 && bytes[0] === 0x1f && bytes[1] === 0x8b;
  if (!isGzip) return bytes;
  try {
    return await inflate(bytes, { maxOutputLength: maxBytes });
  } catch (cause) {
    throw corruptData(path, `it is not whole gzip data (${messageOf(cause)})`, cause);
  }
}

export function corruptData(path: string, reason: string, cause?: unknown): LockstepError {
  return new LockstepError('DATA_CORRUPT', `the data file ${path}: ${reason}`, {
    hint: 'Fetch or write the file again; it may be cut short.',
    cause,
  });
}
