import { createHash } from 'node:crypto';
import { mkdir, open, readdir, readFile, rename, rm } from 'node:fs/promises';

export interface WrittenFile {
  readonly bytes: number;
  readonly sha256: string;
}

/**
 * The file operations that checkpoints are made of; a port, so that tests can make each of them fail.
 * All reject with Node's errors.
 */
export interface Disk {
  /** Makes a directory and its parents; it may exist. */
  makeDirectory(path: string): Promise<void>;
  /** Names in a directory; none if it does not exist. */
  list(directory: string): Promise<string[]>;
  read(path: string): Promise<Uint8Array>;
  /** Writes a file and syncs it to the device, hashing on the way. */
  write(path: string, chunks: readonly Uint8Array[]): Promise<WrittenFile>;
  /** Syncs a directory's entries, so that files made or renamed in it survive a power cut. */
  sync(directory: string): Promise<void>;
  rename(from: string, to: string): Promise<void>;
  /** Removes a file or directory with all it holds; it may be gone already. */
  remove(path: string): Promise<void>;
}

/** Bytes hashed and written in one go: a few milliseconds, so that heartbeats and messages are not held up. */
const sliceBytes = 1 << 20;

export const nodeDisk: Disk = {
  async makeDirectory(path) {
    await mkdir(path, { recursive: true });
  },

  async list(directory) {
    try {
      return await readdir(directory);
    } catch (error) {
      if (errnoOf(error) === 'ENOENT') return [];
      throw error;
    }
  },

  read: (path) => readFile(path),

  async write(path, chunks) {
    const hash = createHash('sha256');
    let bytes = 0;
    const file = await open(path, 'w');
    try {
      for (const chunk of chunks) {
        for (let offset = 0; offset < chunk.length; offset += sliceBytes) {
          const slice = chunk.subarray(offset, offset + sliceBytes);
          hash.update(slice);
          bytes += slice.length;
          await file.writeFile(slice);
        }
      }
      await file.sync();
    } finally {
      await file.close();
    }
    return { bytes, sha256: hash.digest('hex') };
  },

  async sync(directory) {
    // Windows has no such operation: opening a directory fails there, and renames are durable by themselves.
    if (process.platform === 'win32') return;
    const handle = await open(directory, 'r');
    try {
      await handle.sync();
    } finally {
      await handle.close();
    }
  },

  rename: (from, to) => rename(from, to),

  remove: (path) => rm(path, { recursive: true, force: true }),
};

/** The code of one of Node's file errors, such as `ENOSPC`. */
export function errnoOf(error: unknown): string | undefined {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : undefined;
}

const fullDiskCodes: ReadonlySet<string | undefined> = new Set(['ENOSPC', 'EDQUOT', 'EFBIG']);

/** Whether an error, or what caused it, is a lack of space: that may pass. */
export function isDiskFull(error: unknown): boolean {
  if (fullDiskCodes.has(errnoOf(error))) return true;
  return error instanceof Error && error.cause !== undefined && isDiskFull(error.cause);
}
