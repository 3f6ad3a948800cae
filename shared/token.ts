import { randomBytes } from 'node:crypto';
import { readFile, stat } from 'node:fs/promises';
import { LockstepError, messageOf } from './errors.js';

/** The environment variable that holds the token where no file is given. */
export const tokenVariable = 'LOCKSTEP_TOKEN';

/** Shorter ones can be found by trying: a stranger may record a handshake and try words against it. */
export const minTokenLength = 16;

/** A new token: 256 bits of the operating system's randomness, as base64url. */
export function createToken(): string {
  return randomBytes(32).toString('base64url');
}

/**
 * The token that coordinator and workers share, from a file or else from the environment; never from an
 * argument, which every process of the machine can read.
 * @param warn called with one line if other users can read the file
 * @throws LockstepError BAD_OPTION if there is no token, it is too short, or its file cannot be read
 */
export async function readToken({
  file,
  environment,
  warn,
}: {
  file?: string | undefined;
  environment: Readonly<Record<string, string | undefined>>;
  warn: (message: string) => void;
}): Promise<string> {
  const token = file === undefined ? environment[tokenVariable] : await readTokenFile(file, warn);
  const source = file === undefined ? tokenVariable : file;
  if (token === undefined) {
    throw new LockstepError('BAD_OPTION', 'no token: neither --token-file nor LOCKSTEP_TOKEN is given', {
      hint: 'Give coordinator and workers the same token: --token-file FILE, or LOCKSTEP_TOKEN in the environment.',
    });
  }
  const trimmed = token.trim();
  if (trimmed.length < minTokenLength) {
    throw new LockstepError(
      'BAD_OPTION',
      `the token in ${source} has ${trimmed.length} characters, expected at least ${minTokenLength}`,
      { hint: 'Make one with: openssl rand -hex 32' },
    );
  }
  return trimmed;
}

async function readTokenFile(file: string, warn: (message: string) => void): Promise<string> {
  try {
    const { mode } = await stat(file);
    if ((mode & 0o004) !== 0) warn(`every user of this machine can read ${file}; chmod 600 it`);
    return await readFile(file, 'utf8');
  } catch (cause) {
    throw new LockstepError('BAD_OPTION', `the token file ${file} cannot be read: ${messageOf(cause)}`, {
      hint: 'Give the path of a file that holds the token and that this user may read.',
      cause,
    });
  }
}
