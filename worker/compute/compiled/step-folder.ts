import { randomUUID } from 'node:crypto';
import {
  closeSync,
  constants,
  fstatSync,
  futimesSync,
  lstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  type Stats,
  writeFileSync,
} from 'node:fs';
import { homedir } from 'node:os';
import { isAbsolute, join, resolve } from 'node:path';

/**
 * Where steps are kept in files: `steps` in LOCKSTEP_CACHE_DIR, or else in `lockstep` in the user's folder for such
 * files (XDG Base Directory Specification 0.8: XDG_CACHE_HOME, or ~/.cache).
 * @returns null where LOCKSTEP_CACHE_DIR is `off`, and for a user without a folder of their own
 */
export function stepFolder(environment: NodeJS.ProcessEnv = process.env): StepFolder | null {
  const path = pathOf(environment);
  return path === null ? null : new StepFolder(path);
}

function pathOf(environment: NodeJS.ProcessEnv): string | null {
  const { LOCKSTEP_CACHE_DIR: own, XDG_CACHE_HOME: users = '' } = environment;
  if (own === 'off') return null;
  if (own) return resolve(own, 'steps');
  // The specification has relative paths ignored.
  if (isAbsolute(users)) return join(users, 'lockstep', 'steps');
  try {
    return join(homedir(), '.cache', 'lockstep', 'steps');
  } catch {
    return null;
  }
}

/** A step is some tens of kilobytes: far more than a user's jobs have. */
const room = { bytes: 256 * 2 ** 20, files: 1_000 };

/** A file, or the beginning of one by a process that was killed. */
const fileName = /^[0-9a-f]{64}(\.[0-9a-f-]{36})?$/;

/**
 * A folder of files that several processes write at once. What it holds is bounded: the files that were used longest
 * ago go first. The compute thread calls it, which has nothing else to do meanwhile: hence the synchronous calls.
 */
export class StepFolder {
  readonly path: string;
  readonly #room: typeof room;

  constructor(path: string, limits = room) {
    this.path = path;
    this.#room = limits;
  }

  /**
   * The file of a name, which is lower-case SHA-256; null if there is none.
   * @throws Error of the file system; RangeError if others could have written it
   */
  read(name: string): Uint8Array | null {
    let file: number;
    try {
      // Neither a link nor a pipe is followed or waited for. Windows knows neither flag.
      const { O_RDONLY, O_NOFOLLOW = 0, O_NONBLOCK = 0 } = constants;
      file = openSync(join(this.path, name), O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
      throw error;
    }
    try {
      const found = fstatSync(file);
      requireOwn(lstatSync(this.path), this.path);
      requireOwn(found, name);
      if (!found.isFile() || found.size > this.#room.bytes)
        throw new RangeError(`${name} is no file of ours`);
      const bytes = readFileSync(file);
      const now = new Date();
      futimesSync(file, now, now);
      return bytes;
    } finally {
      closeSync(file);
    }
  }

  /**
   * Makes or replaces a file as a whole. It is not synced: one that a loss of power leaves torn has no good checksum.
   * @throws Error of the file system; RangeError if others can write in the folder
   */
  write(name: string, bytes: Uint8Array): void {
    mkdirSync(this.path, { recursive: true, mode: 0o700 });
    requireOwn(lstatSync(this.path), this.path);
    const draft = join(this.path, `${name}.${randomUUID()}`);
    try {
      writeFileSync(draft, bytes, { mode: 0o600, flag: 'wx' });
      renameSync(draft, join(this.path, name));
    } catch (error) {
      rmSync(draft, { force: true });
      throw error;
    }
    this.#makeRoom();
  }

  #makeRoom(): void {
    const files = readdirSync(this.path)
      .filter((name) => fileName.test(name))
      .flatMap((name) => {
        // Another process may have removed it.
        const found = lstatSync(join(this.path, name), { throwIfNoEntry: false });
        return found === undefined ? [] : [{ name, size: found.size, usedMs: found.mtimeMs }];
      })
      .sort((a, b) => a.usedMs - b.usedMs);
    let size = files.reduce((sum, file) => sum + file.size, 0);
    let count = files.length;
    for (const file of files) {
      if (size <= this.#room.bytes && count <= this.#room.files) return;
      rmSync(join(this.path, file.name), { force: true });
      size -= file.size;
      count -= 1;
    }
  }
}

function requireOwn({ uid, mode }: Stats, what: string): void {
  // Windows has neither users' numbers nor these bits.
  const isForeign = process.getuid !== undefined && uid !== process.getuid();
  if (isForeign || (process.platform !== 'win32' && (mode & 0o022) !== 0)) {
    throw new RangeError(`other users can write ${what}`);
  }
}
