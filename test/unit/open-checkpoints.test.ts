import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { lockRun } from '../../coordinator/checkpoint/lock.js';
import { CheckpointStore } from '../../coordinator/checkpoint/store.js';
import type { RunEvent } from '../../coordinator/events.js';
import { openCheckpoints } from '../../coordinator/loop/open-checkpoints.js';
import { snapshotAt } from './checkpoint-snapshot.js';

const conductor = { stop: () => expect.unreachable('the folder was not taken over') };

let directory: string;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'lockstep-open-'));
});
afterEach(() => rm(directory, { recursive: true, force: true }));

describe('opening a run folder', () => {
  it('is refused by its owner’s lock before a byte of it is read', async () => {
    // Whoever read it would find it damaged.
    const { path } = await new CheckpointStore(directory).write(snapshotAt(4));
    await writeFile(join(path, 'weights.bin'), '');
    const owner = await lockRun(directory);
    const events: RunEvent[] = [];
    const access = { emit: (event: RunEvent) => void events.push(event), conductor };
    for (const resume of [true, false]) {
      await expect(openCheckpoints({ directory, resume }, access)).rejects.toMatchObject({
        code: 'RUN_LOCKED',
      });
    }
    expect(events).toEqual([]);
    await owner.release();
    await expect(openCheckpoints({ directory, resume: true }, access)).rejects.toMatchObject({
      code: 'CHECKPOINT_CORRUPT',
    });
  });

  it('lets go of the lock when there is nothing good to resume', async () => {
    const { path } = await new CheckpointStore(directory).write(snapshotAt(4));
    await writeFile(join(path, 'weights.bin'), '');
    const access = { emit: () => {}, conductor };
    await expect(openCheckpoints({ directory, resume: true }, access)).rejects.toMatchObject({
      code: 'CHECKPOINT_CORRUPT',
    });
    const opened = await openCheckpoints({ directory }, access);
    await opened?.release();
  });

  it('says why it failed, and warns of a lock that it cannot let go of', async () => {
    const { path } = await new CheckpointStore(directory).write(snapshotAt(4));
    await writeFile(join(path, 'weights.bin'), '');
    const warnings: string[] = [];
    // The disk goes when the folder is read, which the lock was written to before.
    const readLatest = vi.spyOn(CheckpointStore.prototype, 'readLatest').mockImplementation(async () => {
      await rm(directory, { recursive: true });
      await writeFile(directory, 'no folder any more');
      throw new RangeError('the first error');
    });
    const emit = (event: RunEvent): void => void (event.type === 'warning' && warnings.push(event.message));
    try {
      await expect(openCheckpoints({ directory, resume: true }, { emit, conductor })).rejects.toThrow(
        'the first error',
      );
    } finally {
      readLatest.mockRestore();
    }
    expect(warnings).toEqual([expect.stringMatching(/^the lock of .* stays: .*ENOTDIR/)]);
  });

  it('makes no folder and no lock to find out that there is nothing to resume', async () => {
    for (const folder of [join(directory, 'none'), directory]) {
      await expect(
        openCheckpoints({ directory: folder, resume: true }, { emit: () => {}, conductor }),
      ).rejects.toMatchObject({
        code: 'CHECKPOINT_NOT_FOUND',
      });
    }
    expect(await readdir(directory)).toEqual([]);
  });
});
