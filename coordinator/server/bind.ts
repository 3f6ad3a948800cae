import { randomBytes } from 'node:crypto';
import { chmod, mkdir, rm, rmdir, stat } from 'node:fs/promises';
import type { Server } from 'node:net';
import { isIP } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { LockstepError } from '../../shared/errors.js';

/** Where a coordinator listens. Port 0 takes a free one. */
export type ListenAddress = { readonly unix: string } | { readonly host: string; readonly port: number };

/** Linux's bound on the path of a Unix socket less one for the closing zero; macOS has 103. */
const maxUnixPathBytes = process.platform === 'darwin' ? 103 : 107;

/** A path for a Unix socket in a directory that does not exist yet: the listener makes and removes it. */
export function privateSocketPath(): string {
  return join(tmpdir(), `lockstep-${randomBytes(9).toString('base64url')}`, 'coordinator.sock');
}

/** What follows from having bound an address. */
export interface Binding {
  readonly url: string;
  /** Removes what binding has left on the disk. */
  release(): Promise<void>;
}

/**
 * @throws LockstepError ADDRESS_IN_USE if something listens there; BAD_OPTION if the address cannot be used,
 * or if the directory of a Unix socket is open to other users
 */
export async function bind(server: Server, address: ListenAddress, scheme: 'ws' | 'wss'): Promise<Binding> {
  if ('unix' in address) {
    const made = await makePrivate(address.unix);
    await listen(server, address, { path: address.unix });
    await chmod(address.unix, 0o600);
    return {
      url: `ws+unix:${address.unix}`,
      release: async () => {
        await rm(address.unix, { force: true });
        if (made) await rmdir(dirname(address.unix));
      },
    };
  }
  await listen(server, address, { host: address.host, port: address.port });
  const bound = server.address();
  const port = bound !== null && typeof bound === 'object' ? bound.port : address.port;
  const host = isIP(address.host) === 6 ? `[${address.host}]` : address.host;
  return { url: `${scheme}://${host}:${port}`, release: async () => undefined };
}

/** Whether only processes of this machine can reach the address. */
export function isLocal(address: ListenAddress): boolean {
  if ('unix' in address) return true;
  const { host } = address;
  return host === 'localhost' || host === '::1' || (isIP(host) === 4 && host.startsWith('127.'));
}

/**
 * Sees to it that other users cannot reach the socket even before its own mode is set.
 * @returns whether its directory was made for it
 */
async function makePrivate(path: string): Promise<boolean> {
  if (Buffer.byteLength(path) > maxUnixPathBytes) {
    throw new LockstepError('BAD_OPTION', `the path of the socket is longer than ${maxUnixPathBytes} bytes`, {
      hint: 'Choose a shorter one; TMPDIR=/tmp makes that of local runs shorter.',
    });
  }
  const directory = dirname(path);
  const made = await mkdir(directory, { recursive: true, mode: 0o700 });
  const { mode, uid } = await stat(directory);
  if ((mode & 0o077) !== 0 || uid !== process.getuid?.()) {
    throw new LockstepError('BAD_OPTION', `other users can enter ${directory}, the directory of the socket`, {
      hint: 'Choose a path in a directory of its own, which is then made for this user alone.',
    });
  }
  return made !== undefined;
}

function listen(
  server: Server,
  address: ListenAddress,
  options: { path: string } | { host: string; port: number },
): Promise<void> {
  return new Promise((resolve, reject) => {
    const fail = (cause: NodeJS.ErrnoException): void => reject(bindError(address, cause));
    server.once('error', fail);
    server.listen(options, () => {
      server.off('error', fail);
      resolve();
    });
  });
}

function bindError(address: ListenAddress, cause: NodeJS.ErrnoException): LockstepError {
  const where = 'unix' in address ? address.unix : `${address.host}:${address.port}`;
  if (cause.code === 'EADDRINUSE') {
    return new LockstepError('ADDRESS_IN_USE', `${where} is taken`, {
      hint: 'unix' in address ? 'Choose another path.' : 'Choose another port, or 0 for any free one.',
      cause,
    });
  }
  return new LockstepError('BAD_OPTION', `cannot listen on ${where}: ${cause.message}`, {
    hint: 'Give an address of this machine and a port that this user may bind.',
    cause,
  });
}
