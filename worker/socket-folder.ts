import { readdirSync, rmdirSync, unlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';

/** The coordinator's own, and those in front of it under a fault plan. */
const socketName = /^(?:coordinator|\d+)\.sock$/;

/**
 * Removes the sockets of a coordinator that has died, and the folder that was made for them. Only what has exactly
 * the form that a local cluster makes, `TMPDIR/lockstep-XXXXXX/coordinator.sock`, and a folder with nothing else in it.
 * @param url what the worker joined
 */
export function removeSocketOf(url: string): void {
  const socket = url.startsWith('ws+unix:') ? url.slice('ws+unix:'.length) : '';
  const folder = dirname(socket);
  const isOurs =
    socketName.test(basename(socket)) &&
    /^lockstep-\w{6}$/.test(basename(folder)) &&
    dirname(folder) === tmpdir();
  if (!isOurs) return;
  try {
    for (const name of readdirSync(folder)) if (socketName.test(name)) unlinkSync(join(folder, name));
    rmdirSync(folder);
  } catch {
    // The coordinator or another worker was faster, or something else is in there.
  }
}
