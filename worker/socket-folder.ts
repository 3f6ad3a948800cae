import { rmdirSync, unlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, dirname } from 'node:path';

/**
 * Removes the socket of a coordinator that has died, and the folder that was made for it. Only what has exactly the
 * form that a local cluster makes, `TMPDIR/lockstep-XXXXXX/coordinator.sock`, and a folder with nothing else in it.
 * @param url what the worker joined
 */
export function removeSocketOf(url: string): void {
  const socket = url.startsWith('ws+unix:') ? url.slice('ws+unix:'.length) : '';
  const folder = dirname(socket);
  const isOurs =
    basename(socket) === 'coordinator.sock' &&
    /^lockstep-\w{6}$/.test(basename(folder)) &&
    dirname(folder) === tmpdir();
  if (!isOurs) return;
  for (const remove of [() => unlinkSync(socket), () => rmdirSync(folder)]) {
    try {
      remove();
    } catch {
      // The coordinator or another worker was faster.
    }
  }
}
