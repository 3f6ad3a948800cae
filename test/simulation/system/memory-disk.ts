import { createHash } from 'node:crypto';
import { dirname } from 'node:path';
import type { Disk } from '../../../coordinator/checkpoint/disk.js';
import type { SimulatedProcess } from './process.js';

/** What the disk does to the operations that come. */
export interface DiskWeather {
  /** Of the next operation. */
  latencyMs: () => number;
  isFull: boolean;
  /** Told when an operation fails for want of space, and when one is slow. */
  onTouched: ((effect: 'full' | 'slow') => void) | null;
}

/**
 * A file system in memory that outlives the processes that use it. Operations take time; of a write that its process
 * does not live to see the end of, a part is left.
 */
export class MemoryDisk {
  readonly files = new Map<string, Uint8Array>();
  readonly directories = new Set<string>();
  readonly weather: DiskWeather = { latencyMs: () => 0.2, isFull: false, onTouched: null };

  /** The disk as one process sees it. */
  seenBy(process: SimulatedProcess): Disk {
    const { weather, files, directories } = this;
    const takeTime = async (): Promise<void> => {
      const ms = weather.latencyMs();
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
      async makeDirectory(path) {
        await takeTime();
        for (let at = path; at !== dirname(at); at = dirname(at)) directories.add(at);
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
      async write(path, chunks) {
        const whole = new Uint8Array(chunks.reduce((bytes, chunk) => bytes + chunk.length, 0));
        let offset = 0;
        for (const chunk of chunks) {
          whole.set(chunk, offset);
          offset += chunk.length;
        }
        // Half of it is there while the rest is on its way: a crash leaves a torn file.
        files.set(path, whole.subarray(0, whole.length >> 1));
        await takeTime();
        if (weather.isFull) full(path);
        files.set(path, whole);
        return { bytes: whole.length, sha256: createHash('sha256').update(whole).digest('hex') };
      },
      async sync() {
        await takeTime();
      },
      rename: async (from, to) => {
        await takeTime();
        if (!directories.has(from) && !files.has(from)) {
          throw Object.assign(new RangeError(`ENOENT: '${from}'`), { code: 'ENOENT' });
        }
        this.#move(from, to);
      },
      remove: async (path) => {
        await takeTime();
        this.#remove(path);
      },
    };
  }

  namesIn(directory: string): string[] {
    const prefix = `${directory}/`;
    const names = new Set<string>();
    for (const path of [...this.directories, ...this.files.keys()]) {
      if (path.startsWith(prefix)) names.add(path.slice(prefix.length).split('/')[0]);
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
  }

  #remove(path: string): void {
    for (const name of [...this.files.keys()]) {
      if (name === path || name.startsWith(`${path}/`)) this.files.delete(name);
    }
    for (const name of [...this.directories]) {
      if (name === path || name.startsWith(`${path}/`)) this.directories.delete(name);
    }
  }
}
