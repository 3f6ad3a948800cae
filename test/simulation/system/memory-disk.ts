import { createHash } from 'node:crypto';
import { basename, dirname, join } from 'node:path';
import type { Disk } from '../../../coordinator/checkpoint/disk.js';
import type { Random } from '../../../shared/random.js';
import type { SimulatedProcess } from './process.js';

/** What the disk does to the operations that come. */
export interface DiskWeather {
  /** Of the next operation, on a disk that is well. */
  latencyMs: () => number;
  /** How many faults make it slow now: no slower than one. */
  slowedBy: number;
  isFull: boolean;
  /** Told when an operation fails for want of space, and when one is slow. */
  onTouched: ((effect: 'full' | 'slow') => void) | null;
}

/** Takes back what was done in a directory, which may have another name by now. */
type Undo = (directory: string) => void;

/**
 * A file system in memory that outlives the processes that use it. Operations take time; of a write that its process
 * does not live to see the end of, a part is left. What a directory holds is certain to survive a power cut once it
 * was synced; of what was done in it since, the last things may be lost.
 */
export class MemoryDisk {
  readonly files = new Map<string, Uint8Array>();
  readonly directories = new Set<string>();
  readonly weather: DiskWeather = {
    latencyMs: () => 0.2,
    slowedBy: 0,
    isFull: false,
    onTouched: null,
  };
  /** By directory, in the order in which it was done. */
  readonly #unsynced = new Map<string, Undo[]>();

  /** The disk as one process sees it. */
  seenBy(process: SimulatedProcess): Disk {
    const { weather, files, directories } = this;
    const takeTime = async (): Promise<void> => {
      const usualMs = weather.latencyMs();
      const ms = weather.slowedBy > 0 ? 20 + usualMs * 30 : usualMs;
      if (ms > 10) weather.onTouched?.('slow');
      await process.sleep(ms);
    };
    const full = (path: string): never => {
      weather.onTouched?.('full');
      throw Object.assign(new RangeError(`ENOSPC: no space left on device, write '${path}'`), {
        code: 'ENOSPC',
      });
    };
    return {
      makeDirectory: async (path) => {
        await takeTime();
        for (let at = path; at !== dirname(at); at = dirname(at)) {
          if (!directories.has(at))
            this.#note(at, (directory) => this.#remove(join(directory, basename(at))));
          directories.add(at);
        }
      },
      list: async (directory) => {
        await takeTime();
        return this.namesIn(directory);
      },
      async read(path) {
        await takeTime();
        const bytes = files.get(path);
        if (bytes === undefined) throw Object.assign(new RangeError(`ENOENT: '${path}'`), { code: 'ENOENT' });
        return bytes.slice();
      },
      write: async (path, chunks) => {
        const whole = new Uint8Array(chunks.reduce((bytes, chunk) => bytes + chunk.length, 0));
        let offset = 0;
        for (const chunk of chunks) {
          whole.set(chunk, offset);
          offset += chunk.length;
        }
        if (!files.has(path)) this.#note(path, (directory) => files.delete(join(directory, basename(path))));
        // Half of it is there while the rest is on its way: a crash leaves a torn file.
        files.set(path, whole.subarray(0, whole.length >> 1));
        await takeTime();
        if (weather.isFull) full(path);
        files.set(path, whole);
        return { bytes: whole.length, sha256: createHash('sha256').update(whole).digest('hex') };
      },
      sync: async (directory) => {
        await takeTime();
        this.#unsynced.delete(directory);
      },
      rename: async (from, to) => {
        await takeTime();
        if (!directories.has(from) && !files.has(from)) {
          throw Object.assign(new RangeError(`ENOENT: '${from}'`), { code: 'ENOENT' });
        }
        this.#move(from, to);
        this.#note(to, (directory) =>
          this.#move(join(directory, basename(to)), join(directory, basename(from))),
        );
      },
      remove: async (path) => {
        await takeTime();
        this.#remove(path);
      },
    };
  }

  /** Something was done in the directory of a path. The run folder itself is there from the beginning. */
  #note(path: string, undo: Undo): void {
    const directory = dirname(path);
    if (directory === dirname(directory)) return;
    const undos = this.#unsynced.get(directory) ?? [];
    undos.push(undo);
    this.#unsynced.set(directory, undos);
  }

  /** The machine stops at once: of what was not synced, only some of what was done first is left. */
  cutPower(random: Random): void {
    const deepestFirst = [...this.#unsynced].sort(([a], [b]) => b.length - a.length);
    for (const [directory, undos] of deepestFirst) {
      const left = random.below(undos.length + 1);
      for (const undo of undos.slice(left).reverse()) undo(directory);
    }
    this.#unsynced.clear();
  }

  namesIn(directory: string): string[] {
    const prefix = `${directory}/`;
    const names = new Set<string>();
    for (const paths of [this.directories, this.files.keys()]) {
      for (const path of paths) {
        if (!path.startsWith(prefix)) continue;
        const end = path.indexOf('/', prefix.length);
        names.add(path.slice(prefix.length, end < 0 ? path.length : end));
      }
    }
    return [...names].sort();
  }

  #move(from: string, to: string): void {
    for (const [path, bytes] of [...this.files]) {
      if (path !== from && !path.startsWith(`${from}/`)) continue;
      this.files.delete(path);
      this.files.set(to + path.slice(from.length), bytes);
    }
    for (const path of [...this.directories]) {
      if (path !== from && !path.startsWith(`${from}/`)) continue;
      this.directories.delete(path);
      this.directories.add(to + path.slice(from.length));
    }
    for (const [path, undos] of [...this.#unsynced]) {
      if (path !== from && !path.startsWith(`${from}/`)) continue;
      this.#unsynced.delete(path);
      this.#unsynced.set(to + path.slice(from.length), undos);
    }
  }

  #remove(path: string): void {
    const isIn = (name: string): boolean => name === path || name.startsWith(`${path}/`);
    const lost = {
      files: [...this.files].filter(([name]) => isIn(name)),
      directories: [...this.directories].filter(isIn),
    };
    if (lost.files.length + lost.directories.length === 0) return;
    for (const [name] of lost.files) this.files.delete(name);
    for (const name of lost.directories) this.directories.delete(name);
    for (const name of [...this.#unsynced.keys()]) if (isIn(name)) this.#unsynced.delete(name);
    this.#note(path, (directory) => {
      const at = join(directory, basename(path));
      for (const [name, bytes] of lost.files) this.files.set(at + name.slice(path.length), bytes);
      for (const name of lost.directories) this.directories.add(at + name.slice(path.length));
    });
  }
}
