import { lstat, readdir } from 'node:fs/promises';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { isSocketFolder, isSocketName, removeSocketFolder } from '../../shared/socket-folder.js';

/** A folder that is younger may be one whose coordinator is about to listen. */
const youngMs = 60_000;

/** How long a coordinator may take to accept before it is taken for one that is there. */
const answerMs = 1_000;

/**
 * Removes the socket folders of this user's local clusters that were killed together with all their workers, so that
 * nobody was left to do it: those of which no socket is listened on any more. It never fails, and leaves alone what is
 * young, what answers, and what holds anything else than sockets.
 * @returns the folders that are gone
 */
export async function sweepSocketFolders(root = tmpdir(), nowMs = Date.now()): Promise<string[]> {
  const names = await readdir(root).catch(() => []);
  const folders = names.map((name) => join(root, name)).filter(isSocketFolder);
  const abandoned = await Promise.all(folders.map((folder) => isAbandoned(folder, nowMs).catch(() => false)));
  return folders.filter((folder, i) => abandoned[i] && removeSocketFolder(folder));
}

async function isAbandoned(folder: string, nowMs: number): Promise<boolean> {
  const { mtimeMs, uid, mode } = await lstat(folder);
  const isOurs = uid === process.getuid?.() && (mode & 0o170_777) === 0o040_700;
  if (!isOurs || nowMs - mtimeMs < youngMs) return false;
  const names = await readdir(folder);
  if (!names.every(isSocketName)) return false;
  const listening = await Promise.all(names.map((name) => isListenedOn(join(folder, name))));
  return !listening.includes(true);
}

function isListenedOn(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ path, timeout: answerMs });
    const settle = (isThere: boolean): void => {
      socket.destroy();
      resolve(isThere);
    };
    socket.once('connect', () => settle(true));
    socket.once('timeout', () => settle(true));
    socket.once('error', ({ code }: NodeJS.ErrnoException) =>
      settle(code !== 'ECONNREFUSED' && code !== 'ENOENT'),
    );
  });
}
