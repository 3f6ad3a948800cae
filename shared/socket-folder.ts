import { readdirSync, rmdirSync, unlinkSync } from 'node:fs';
import { basename, join } from 'node:path';

/*
 * The folder in which a local cluster listens: `TMPDIR/lockstep-XXXXXX` with `coordinator.sock`, and under a fault plan
 * the socket of a proxy for each worker. Who is killed cannot remove its own: its workers do, or the next run.
 */

/** What the name of such a folder begins with; six characters follow. */
export const socketFolderPrefix = 'lockstep-';

/** The coordinator's own, and those in front of it under a fault plan. */
const socketName = /^(?:coordinator|\d+)\.sock$/;

export const isSocketFolder = (path: string): boolean => /^lockstep-\w{6}$/.test(basename(path));

export const isSocketName = (name: string): boolean => socketName.test(name);

/**
 * Removes the sockets of a folder, and the folder if it holds nothing else.
 * @returns whether the folder is gone
 */
export function removeSocketFolder(folder: string): boolean {
  try {
    for (const name of readdirSync(folder)) if (isSocketName(name)) unlinkSync(join(folder, name));
    rmdirSync(folder);
    return true;
  } catch {
    // Somebody was faster, or something else is in there.
    return false;
  }
}
