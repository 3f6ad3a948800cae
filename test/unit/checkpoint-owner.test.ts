import { mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type Disk, nodeDisk } from '../../coordinator/checkpoint/disk.js';
import type { Snapshot } from '../../coordinator/checkpoint/snapshot.js';
import { CheckpointStore } from '../../coordinator/checkpoint/store.js';
import { LockstepError } from '../../shared/errors.js';
import { snapshotAt } from './checkpoint-snapshot.js';

let directory: string;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'lockstep-checkpoint-'));
});
afterEach(() => rm(directory, { recursive: true, force: true }));

describe('a folder of checkpoints of several runs or coordinators', () => {
  it('passes over checkpoints of another run, as long as there is a good one of its own', async () => {
    const of = (runId: string, step: number): Snapshot => {
      const snapshot = snapshotAt(step);
      return { ...snapshot, run: { ...snapshot.run, runId } };
    };
    const store = new CheckpointStore(directory, { keepLast: 4 });
    await store.write(of('mine', 4));
    await store.write(of('theirs', 90));
    const found = await new CheckpointStore(directory).readLatest('mine');
    expect(found.snapshot.run).toMatchObject({ runId: 'mine', step: 4 });
    expect(found.warnings).toEqual([
      expect.stringMatching(/step-0000000090: it is of run theirs, not mine$/),
    ]);
    const other = await new CheckpointStore(directory).readLatest('neither');
    expect(other.snapshot.run).toMatchObject({ runId: 'theirs', step: 90 });
    expect(other.warnings.at(-1)).toBe('there is no good checkpoint of run neither: going on with theirs');
  });

  it('tells how many steps lie between the newest checkpoint and the one that is good', async () => {
    const store = new CheckpointStore(directory, { keepLast: 3 });
    await store.write(snapshotAt(10));
    for (const step of [14, 18]) {
      const { path } = await store.write(snapshotAt(step));
      await writeFile(join(path, 'model.json'), '{');
    }
    expect(await store.readLatest()).toMatchObject({ stepsLost: 8 });
  });

  it('does not rename when another coordinator came while it wrote, and removes only what is its own', async () => {
    let verified = 0;
    const verify = async (): Promise<void> => {
      verified += 1;
      if (verified > 1) throw new LockstepError('RUN_LOCKED', 'another has it', { hint: 'Let it.' });
    };
    const other = join(directory, '.unfinished-8-checkpoint-000001-step-0000000005');
    await mkdir(other);
    const store = new CheckpointStore(directory, { owner: { term: 7, verify, nameRun: verify } });
    await expect(store.write(snapshotAt(5))).rejects.toMatchObject({ code: 'RUN_LOCKED' });
    expect(verified).toBe(2);
    expect(await readdir(directory)).toEqual(['.unfinished-8-checkpoint-000001-step-0000000005']);
  });

  it('cannot finish what a later coordinator has cleared away, whenever it was stopped', async () => {
    // It was stopped after the last look at the lock, right before the renaming.
    const disk: Disk = {
      ...nodeDisk,
      async rename(from, to) {
        await new CheckpointStore(directory, { owner: { term: 8, ...free } }).prepare();
        await nodeDisk.rename(from, to);
      },
    };
    const free = { verify: async () => {}, nameRun: async () => {} };
    const stale = new CheckpointStore(directory, { disk, owner: { term: 7, ...free } });
    await expect(stale.write(snapshotAt(5))).rejects.toMatchObject({ code: 'CHECKPOINT_UNWRITABLE' });
    expect(await readdir(directory)).toEqual([]);
  });
});
