import { tmpdir } from 'node:os';
import { basename, dirname } from 'node:path';
import { isSocketFolder, isSocketName, removeSocketFolder } from '../shared/socket-folder.js';

/**
 * Removes the sockets of a coordinator that has died, and the folder that was made for them. Only what has exactly
 * the form that a local cluster makes, `TMPDIR/lockstep-XXXXXX/coordinator.sock`, and a folder with nothing else in it.
 * @param url what the worker joined
 */
export function removeSocketOf(url: string): void {
  const socket = url.startsWith('ws+unix:') ? url.slice('ws+unix:'.length) : '';
  const folder = dirname(socket);
  const isOurs = isSocketName(basename(socket)) && isSocketFolder(folder) && dirname(folder) === tmpdir();
  if (isOurs) removeSocketFolder(folder);
}
