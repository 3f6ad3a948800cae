import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { type Disk, nodeDisk } from '../../coordinator/checkpoint/disk.js';
import { CheckpointStore } from '../../coordinator/checkpoint/store.js';
import type { RunEvent } from '../../coordinator/events.js';
import type { CheckpointOptions } from '../../coordinator/job.js';
import { RunCheckpoints } from '../../coordinator/loop/run-checkpoints.js';
import { type Clock, systemClock } from '../../shared/clock.js';
import { LockstepError } from '../../shared/errors.js';
import { snapshotAt } from './checkpoint-snapshot.js';

let directory: string;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'lockstep-run-checkpoints-'));
});
afterEach(() => rm(directory, { recursive: true, force: true }));

const quiet = {
  onEvent: () => {},
  onLost: (error: Error) => expect.unreachable(error.message),
  resumedFrom: null,
};

function runCheckpoints(options: CheckpointOptions, resumedFrom: string | null = null): RunCheckpoints {
  return new RunCheckpoints(new CheckpointStore(directory), 1, options, { ...quiet, resumedFrom });
}

/** A disk that is full for the first `writes` files written. */
function fullFor(writes: number): Disk {
  let left = writes;
  return {
    ...nodeDisk,
    write(path, chunks) {
      if (left === 0) return nodeDisk.write(path, chunks);
      left -= 1;
      return Promise.reject(Object.assign(new Error('no space left on device'), { code: 'ENOSPC' }));
    },
  };
}

/** A clock that stands still but for timers: each wakes a moment after it was set. Tells what was waited for. */
function hastyClock(waits: number[]): Clock {
  return {
    ...systemClock,
    nowMs: () => 5_000,
    after(delayMs, wake) {
      waits.push(delayMs);
      const timer = setTimeout(wake, 5);
      return () => clearTimeout(timer);
    },
  };
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

  it('says once that the disk is full, tries again ever later, and says when it works', async () => {
    const events: RunEvent[] = [];
    const waits: number[] = [];
    const store = new CheckpointStore(directory, { disk: fullFor(9) });
    const checkpoints = new RunCheckpoints(
      store,
      1,
      {},
      {
        ...quiet,
        onEvent: (event) => events.push(event),
        clock: hastyClock(waits),
      },
    );
    checkpoints.save(snapshotAt(4));
    await vi.waitFor(() => expect(checkpoints.lastPath).toMatch(/step-0000000004$/));
    expect(waits).toEqual([1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000, 60_000]);
    expect(events.map(({ type }) => type)).toEqual(['saving', 'warning', 'checkpoint', 'notice']);
    expect(events[1]).toMatchObject({
      message: expect.stringMatching(/no space left on device\. Free some space.* Training goes on/),
    });
    expect(events[3]).toMatchObject({
      message: 'saving works again: step 4 is saved, after 9 failed attempts in 0.0 s',
    });
  });

  it('saves what is newer, not what failed before it', async () => {
    const store = new CheckpointStore(directory, { disk: fullFor(1) });
    const checkpoints = new RunCheckpoints(store, 1, {}, quiet);
    checkpoints.save(snapshotAt(4));
    await checkpoints.flush();
    checkpoints.save(snapshotAt(8));
    await checkpoints.complete();
    expect(await readdir(directory)).toEqual(['checkpoint-000001-step-0000000008']);
  });

  it('tries the last checkpoint for some seconds before it gives up, and says what is saved', async () => {
    const waits: number[] = [];
    const options = { ...quiet, clock: hastyClock(waits) };
    await new CheckpointStore(directory).write(snapshotAt(3));
    // The first attempt is not one of the last four.
    const inTime = new CheckpointStore(directory, { disk: fullFor(4) });
    const saved = new RunCheckpoints(inTime, 1, {}, options);
    saved.save(snapshotAt(4));
    await saved.complete();
    expect(saved.lastPath).toMatch(/step-0000000004$/);

    const tooLate = new CheckpointStore(directory, { disk: fullFor(5) });
    const path = saved.lastPath;
    const unsaved = new RunCheckpoints(tooLate, 1, {}, { ...options, resumedFrom: path });
    unsaved.save(snapshotAt(5));
    await expect(unsaved.complete()).rejects.toMatchObject({
      code: 'CHECKPOINT_UNWRITABLE',
      message: expect.stringContaining(`the last state, step 5, could not be saved, but ${path} is intact: `),
      hint: expect.stringContaining('Free some space'),
    });
    unsaved.close();
    expect((await new CheckpointStore(directory).readLatest()).snapshot.run.step).toBe(4);
  });

  it('writes nothing more once another coordinator has the folder', async () => {
    const taken = new LockstepError('RUN_LOCKED', 'another coordinator has it', { hint: 'Let it.' });
    let isTaken = false;
    const verify = async (): Promise<void> => {
      if (isTaken) throw taken;
    };
    const lost: Error[] = [];
    const store = new CheckpointStore(directory, { owner: { term: 1, verify, nameRun: verify } });
    const checkpoints = new RunCheckpoints(store, 1, {}, { ...quiet, onLost: (error) => lost.push(error) });
    checkpoints.save(snapshotAt(1));
    await checkpoints.flush();
    isTaken = true;
    for (const step of [2, 3]) {
      checkpoints.save(snapshotAt(step));
      await checkpoints.flush();
    }
    expect(lost).toEqual([taken]);
    await expect(checkpoints.complete()).rejects.toBe(taken);
    expect(await readdir(directory)).toEqual(['checkpoint-000001-step-0000000001']);
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
