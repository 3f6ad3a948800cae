import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type Disk, nodeDisk } from '../../coordinator/checkpoint/disk.js';
import { CheckpointStore } from '../../coordinator/checkpoint/store.js';
import type { CheckpointOptions } from '../../coordinator/job.js';
import { RunCheckpoints } from '../../coordinator/loop/run-checkpoints.js';
import { snapshotAt } from './checkpoint-snapshot.js';

let directory: string;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'lockstep-run-checkpoints-'));
});
afterEach(() => rm(directory, { recursive: true, force: true }));

function runCheckpoints(options: CheckpointOptions, resumedFrom: string | null = null): RunCheckpoints {
  return new RunCheckpoints(new CheckpointStore(directory), 1, options, () => {}, resumedFrom);
}

describe('RunCheckpoints', () => {
  it('is due after every so many steps', async () => {
    const checkpoints = runCheckpoints({ everySteps: 3 });
    const saved: number[] = [];
    for (let step = 1; step <= 9; step++) {
      if (!checkpoints.due(step)) continue;
      saved.push(step);
      checkpoints.save(snapshotAt(step));
      await checkpoints.flush();
    }
    expect(saved).toEqual([3, 6, 9]);
  });

  it('makes up for a step that passed while a checkpoint was being written', async () => {
    const checkpoints = runCheckpoints({ everySteps: 3 });
    checkpoints.save(snapshotAt(2));
    expect([3, 4].map((step) => checkpoints.due(step))).toEqual([false, false]);
    await checkpoints.flush();
    expect(checkpoints.due(5)).toBe(true);
    checkpoints.save(snapshotAt(5));
    await checkpoints.flush();
    expect(checkpoints.due(5)).toBe(false);
    expect(checkpoints.due(6)).toBe(true);
  });

  it('tries the last checkpoint once more before it gives up', async () => {
    let fullDisks = 1;
    const disk: Disk = {
      ...nodeDisk,
      write(path, chunks) {
        if (fullDisks === 0) return nodeDisk.write(path, chunks);
        fullDisks -= 1;
        return Promise.reject(Object.assign(new Error('no space left on device'), { code: 'ENOSPC' }));
      },
    };
    const warnings: string[] = [];
    const checkpoints = new RunCheckpoints(
      new CheckpointStore(directory, { disk }),
      1,
      {},
      (event) => {
        if (event.type === 'warning') warnings.push(event.message);
      },
      null,
    );
    checkpoints.save(snapshotAt(4));
    await checkpoints.complete();
    expect(warnings).toHaveLength(1);
    expect(checkpoints.lastPath).toMatch(/step-0000000004$/);
    fullDisks = 2;
    checkpoints.save(snapshotAt(5));
    await expect(checkpoints.complete()).rejects.toMatchObject({ code: 'CHECKPOINT_UNWRITABLE' });
    expect((await new CheckpointStore(directory).readLatest()).snapshot.run.step).toBe(4);
  });

  it('is never due between epochs without being asked for', () => {
    const checkpoints = runCheckpoints({});
    expect([1, 2, 1_000].map((step) => checkpoints.due(step))).toEqual([false, false, false]);
  });

  it('names the checkpoint that a run was resumed from until there is a newer one', async () => {
    const checkpoints = runCheckpoints({}, join(directory, 'old'));
    expect(checkpoints.lastPath).toBe(join(directory, 'old'));
    checkpoints.save(snapshotAt(8));
    await checkpoints.flush();
    expect(checkpoints.lastPath).toMatch(/step-0000000008$/);
  });
});
