import { join } from 'node:path';
import { LockstepError } from '../../shared/errors.js';
import { type Disk, nodeDisk } from './disk.js';
import type { RunLock } from './lock.js';
import { readSnapshot, type Snapshot, writeSnapshot } from './snapshot.js';
import { unwritable } from './unwritable.js';

export interface CheckpointStoreOptions {
  /** Complete checkpoints kept. Default 2. */
  readonly keepLast?: number;
  readonly disk?: Disk;
  /** The right to write in the folder, asked for before anything is to be seen there. Default: nobody else writes. */
  readonly owner?: Pick<RunLock, 'term' | 'verify' | 'nameRun'>;
}

export interface WrittenCheckpoint {
  readonly path: string;
  readonly step: number;
  readonly bytes: number;
  /** Older checkpoints that could not be removed. */
  readonly warnings: readonly string[];
}

export interface FoundCheckpoint {
  readonly path: string;
  readonly snapshot: Snapshot;
  /** Newer checkpoints that were passed over, and why. */
  readonly warnings: readonly string[];
  /** Steps between the newest checkpoint, whatever it is worth, and this one. */
  readonly stepsLost: number;
}

/** `checkpoint-SEQUENCE-step-STEP`. The sequence decides which is newest; the step is there for people. */
const namePattern = /^checkpoint-(\d+)-step-(\d+)$/;
/** Directories in the making or being removed; what a crash leaves of them is cleaned up at the next start. */
const unfinished = '.unfinished-';

/** For those who only read, and for tests. */
const nobodyElse = { term: 0, verify: async () => {}, nameRun: async () => {} };

/**
 * The checkpoints of one run folder. A checkpoint is a directory that appears under its name only when it is
 * complete: its files are written and synced under a temporary name, then renamed; older ones are removed after
 * that. So whatever instant the process or the machine dies at, the newest complete checkpoint can be read, and
 * it is found by its name alone.
 *
 * One coordinator writes at a time (lock.ts). One that was stopped, and does not know that another has taken over,
 * finds out before it renames; and if it was stopped between that look and the renaming, what it would rename is
 * gone, because the other one began by removing everything unfinished.
 */
export class CheckpointStore {
  readonly directory: string;
  readonly #keepLast: number;
  readonly #disk: Disk;
  readonly #owner: NonNullable<CheckpointStoreOptions['owner']>;
  readonly #corrupt = new Set<string>();

  constructor(directory: string, options: CheckpointStoreOptions = {}) {
    const { keepLast = 2, disk = nodeDisk, owner = nobodyElse } = options;
    if (!Number.isInteger(keepLast) || keepLast < 1) {
      throw new LockstepError(
        'BAD_OPTION',
        `keepLast is ${keepLast}, expected a whole number of at least 1`,
        {
          hint: 'Keep 2, so that a damaged checkpoint leaves another one.',
        },
      );
    }
    this.directory = directory;
    this.#keepLast = keepLast;
    this.#disk = disk;
    this.#owner = owner;
  }

  /**
   * Makes the folder, finds out before training whether it can be written, and removes what a crash left.
   * @throws LockstepError CHECKPOINT_UNWRITABLE
   */
  async prepare(): Promise<void> {
    const probe = join(this.directory, `${unfinished}probe`);
    try {
      await this.#disk.makeDirectory(this.directory);
      await this.#disk.write(probe, [new TextEncoder().encode('Lockstep can write here.\n')]);
      for (const name of await this.#disk.list(this.directory)) {
        if (name.startsWith(unfinished)) await this.#disk.remove(join(this.directory, name));
      }
      await this.#disk.sync(this.directory);
    } catch (error) {
      throw unwritable(this.directory, error);
    }
  }

  /** @throws LockstepError RUN_LOCKED if the folder is another coordinator's by now */
  verify(): Promise<void> {
    return this.#owner.verify();
  }

  /** Paths of the complete checkpoints, newest first. */
  async list(): Promise<string[]> {
    return (await this.#names()).map((name) => join(this.directory, name));
  }

  /**
   * Writes a checkpoint; the ones before stay until it is complete.
   * @throws LockstepError CHECKPOINT_UNWRITABLE; RUN_LOCKED if the folder is another coordinator's by now. The
   * checkpoints before it are untouched
   */
  async write(snapshot: Snapshot): Promise<WrittenCheckpoint> {
    let temporary: string | null = null;
    let path: string;
    let bytes: number;
    try {
      await this.#owner.nameRun(snapshot.run.runId);
      const newest = (await this.#names()).at(0);
      const sequence = newest === undefined ? 1 : sequenceOf(newest) + 1;
      const name = `checkpoint-${pad(sequence, 6)}-step-${pad(snapshot.run.step, 10)}`;
      path = join(this.directory, name);
      // Named by the term, so that a coordinator that was stopped meanwhile can only remove its own.
      temporary = join(this.directory, `${unfinished}${this.#owner.term}-${name}`);
      await this.#disk.remove(temporary);
      await this.#disk.makeDirectory(temporary);
      bytes = await writeSnapshot(this.#disk, temporary, snapshot);
      await this.#disk.sync(temporary);
      await this.#owner.verify();
      await this.#disk.rename(temporary, path);
      await this.#disk.sync(this.directory);
    } catch (error) {
      // Makes room where the disk is full. If that fails as well, the next start does it.
      if (temporary !== null) await this.#disk.remove(temporary).catch(() => {});
      throw unwritable(this.directory, error);
    }
    return { path, step: snapshot.run.step, bytes, warnings: await this.#removeOlder() };
  }

  /**
   * The newest checkpoint whose every byte matches its checksums.
   * @param runId only of this run, if there is any of it: others may have been copied here, or be older
   * @throws LockstepError CHECKPOINT_NOT_FOUND if there is none; CHECKPOINT_CORRUPT if none is intact;
   *   CHECKPOINT_MISMATCH if another version of Lockstep wrote it
   */
  async readLatest(runId: string | null = null): Promise<FoundCheckpoint> {
    const warnings: string[] = [];
    const names = await this.#names();
    let stranger: FoundCheckpoint | null = null;
    for (const name of names) {
      const path = join(this.directory, name);
      try {
        const snapshot = await readSnapshot(this.#disk, path);
        const stepsLost = Math.max(0, stepOf(names[0]) - snapshot.run.step);
        if (runId === null || snapshot.run.runId === runId) return { path, snapshot, warnings, stepsLost };
        stranger ??= { path, snapshot, warnings: [...warnings], stepsLost };
        this.#corrupt.add(name);
        warnings.push(`passed over the checkpoint ${path}: it is of run ${snapshot.run.runId}, not ${runId}`);
      } catch (error) {
        if (!(error instanceof LockstepError) || error.code !== 'CHECKPOINT_CORRUPT') throw error;
        this.#corrupt.add(name);
        warnings.push(`passed over the damaged checkpoint ${path}: ${error.message}`);
      }
    }
    if (stranger !== null) {
      const note = `there is no good checkpoint of run ${runId}: going on with ${stranger.snapshot.run.runId}`;
      return { ...stranger, warnings: [...stranger.warnings, note] };
    }
    if (warnings.length === 0) {
      throw new LockstepError('CHECKPOINT_NOT_FOUND', `there is no checkpoint in ${this.directory}`, {
        hint: 'Give the folder of a run that has saved; a new run begins without --resume.',
      });
    }
    throw new LockstepError(
      'CHECKPOINT_CORRUPT',
      `no checkpoint in ${this.directory} is intact: ${warnings.join('; ')}`,
      { hint: 'Restore the folder from a copy, or start a new run without --resume.' },
    );
  }

  async #names(): Promise<string[]> {
    const names = await this.#disk.list(this.directory);
    return names.filter((name) => namePattern.test(name)).sort((a, b) => sequenceOf(b) - sequenceOf(a));
  }

  /** A damaged checkpoint does not count as kept, or it would push out an intact one. */
  async #removeOlder(): Promise<string[]> {
    const warnings: string[] = [];
    let intact = 0;
    for (const name of await this.#names()) {
      if (intact < this.#keepLast) {
        if (!this.#corrupt.has(name)) intact++;
        continue;
      }
      const temporary = join(this.directory, `${unfinished}${this.#owner.term}-${name}`);
      try {
        await this.#owner.verify();
        // Renamed first: a directory that is half removed must not look like a checkpoint.
        await this.#disk.rename(join(this.directory, name), temporary);
        await this.#disk.remove(temporary);
      } catch (error) {
        warnings.push(`the old checkpoint ${name} stays: ${unwritable(this.directory, error).message}`);
      }
    }
    return warnings;
  }
}

function sequenceOf(name: string): number {
  return Number(namePattern.exec(name)?.[1]);
}

function stepOf(name: string): number {
  return Number(namePattern.exec(name)?.[2]);
}

function pad(value: number, digits: number): string {
  return String(value).padStart(digits, '0');
}
