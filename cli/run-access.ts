import { readFileSync, rmSync } from 'node:fs';
import { chmod, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { LockstepError } from '../shared/errors.js';

/** How a run can be reached while it goes on. Whoever can read the file may join the run. */
const fileName = 'live.json';

const runAccess = z.strictObject({ url: z.string(), token: z.string() });

export type RunAccess = z.infer<typeof runAccess>;

/**
 * Lets this user, and no other, observe a run by its folder.
 * @returns what takes the file away when the run ends, unless another run has written it anew; a process that ends
 * at once does so as well
 */
export async function writeRunAccess(folder: string, access: RunAccess): Promise<() => void> {
  const file = join(folder, fileName);
  const text = JSON.stringify(access);
  await rm(file, { force: true });
  await writeFile(file, text, { mode: 0o600, flag: 'wx' });
  await chmod(file, 0o600);
  const remove = (): void => {
    process.off('exit', remove);
    if (contentOf(file) === text) rmSync(file, { force: true });
  };
  process.once('exit', remove);
  return remove;
}

function contentOf(file: string): string | null {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return null;
  }
}

/** @throws LockstepError BAD_OPTION if no run goes on in the folder, or others could have written there */
export async function readRunAccess(folder: string): Promise<RunAccess> {
  const file = join(folder, fileName);
  const hint = 'Give the --checkpoint-dir of a lockstep train that goes on, or the URL of a coordinator.';
  try {
    const { mode, uid } = await stat(file);
    if ((mode & 0o077) !== 0 || uid !== process.getuid?.()) {
      throw new LockstepError('BAD_OPTION', `other users can read ${file}`, { hint: `chmod 600 ${file}` });
    }
    return runAccess.parse(JSON.parse(await readFile(file, 'utf8')));
  } catch (cause) {
    if (cause instanceof LockstepError) throw cause;
    throw new LockstepError('BAD_OPTION', `no run goes on in ${folder}`, { hint, cause });
  }
}
