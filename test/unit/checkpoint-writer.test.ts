import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { CheckpointWriter } from '../../coordinator/checkpoint/checkpoint-writer.js';
import { type Disk, nodeDisk } from '../../coordinator/checkpoint/disk.js';
import { CheckpointStore } from '../../coordinator/checkpoint/store.js';
import { snapshotAt } from './checkpoint-snapshot.js';

let directory: string;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'lockstep-writer-'));
});
afterEach(() => rm(directory, { recursive: true, force: true }));

const fullDisk = () => Promise.reject(Object.assign(new Error('ENOSPC: injected'), { code: 'ENOSPC' }));

describe('CheckpointWriter', () => {
  it('writes one at a time and lets a newer request replace a waiting one', async () => {
    let writing = 0;
    let most = 0;
    const disk: Disk = {
      ...nodeDisk,
      write: async (path, chunks) => {
        most = Math.max(most, ++writing);
        const written = await nodeDisk.write(path, chunks);
        writing--;
        return written;
      },
    };
    const steps: number[] = [];
    const writer = new CheckpointWriter(new CheckpointStore(directory, { disk }), {
      onWritten: ({ step }) => steps.push(step),
      onError: (error) => expect.unreachable(error.message),
    });
    for (const step of [1, 2, 3, 4]) writer.request(snapshotAt(step));
    expect(writer.busy).toBe(true);
    await writer.flush();
    expect(writer.busy).toBe(false);
    expect(steps).toEqual([1, 4]);
    expect(most).toBe(1);
    writer.request(snapshotAt(5));
    await writer.flush();
    expect(steps).toEqual([1, 4, 5]);
  });

  it('reports a failed write and goes on with the next', async () => {
    let broken = true;
    const disk: Disk = {
      ...nodeDisk,
      sync: (path) => (broken ? fullDisk() : nodeDisk.sync(path)),
    };
    const events: string[] = [];
    const writer = new CheckpointWriter(new CheckpointStore(directory, { disk }), {
      onWritten: ({ step }) => events.push(`step ${step}`),
      onError: ({ code }) => events.push(code),
    });
    writer.request(snapshotAt(1));
    await writer.flush();
    broken = false;
    writer.request(snapshotAt(2));
    await writer.flush();
    expect(events).toEqual(['CHECKPOINT_UNWRITABLE', 'step 2']);
  });

  it('does not hide a bug', async () => {
    const disk: Disk = { ...nodeDisk, sync: () => Promise.reject(new TypeError('a bug')) };
    const writer = new CheckpointWriter(new CheckpointStore(directory, { disk }), {
      onWritten: () => expect.unreachable(),
      onError: () => expect.unreachable(),
    });
    writer.request(snapshotAt(1));
    await expect(writer.flush()).rejects.toThrow('a bug');
  });
});
