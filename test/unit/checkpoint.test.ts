import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type Disk, nodeDisk } from '../../coordinator/checkpoint/disk.js';
import { encodeExact } from '../../coordinator/checkpoint/exact-json.js';
import { stateSha256 } from '../../coordinator/checkpoint/hashes.js';
import { readSnapshot, type Snapshot } from '../../coordinator/checkpoint/snapshot.js';
import { CheckpointStore } from '../../coordinator/checkpoint/store.js';
import { snapshotAt } from './checkpoint-snapshot.js';

let directory: string;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'lockstep-checkpoint-'));
});
afterEach(() => rm(directory, { recursive: true, force: true }));

/** Everything in a snapshot as text, to the bit. */
function bitsOf({ manifest, topology, flat, slots, tensors, run }: Snapshot): string {
  const hex = (data: Float32Array | Float64Array) =>
    `${data.constructor.name} ${Buffer.from(data.buffer, data.byteOffset, data.byteLength).toString('hex')}`;
  const record = (values: Record<string, Float32Array | Float64Array>) =>
    Object.entries(values)
      .map(([name, data]) => `${name} ${hex(data)}`)
      .sort();
  const slotBits = [...slots].map(([variable, values]) => [variable, record({ ...values })]).sort();
  return encodeExact({ manifest, topology, run, flat: hex(flat), slotBits, tensors: record({ ...tensors }) });
}

function errnoError(code: string): Error {
  return Object.assign(new Error(`${code}: injected`), { code });
}

/** A disk that dies at the given operation, leaving a file half written, and stays dead. */
function dyingDisk(diesAt: number, code = 'EIO'): { disk: Disk; operations: () => number } {
  let count = 0;
  const step = async <T>(work: () => Promise<T>, torn?: () => Promise<unknown>): Promise<T> => {
    count++;
    if (count === diesAt) await torn?.();
    if (count >= diesAt) throw errnoError(code);
    return work();
  };
  const disk: Disk = {
    makeDirectory: (path) => step(() => nodeDisk.makeDirectory(path)),
    list: (path) => nodeDisk.list(path),
    read: (path) => nodeDisk.read(path),
    write: (path, chunks) =>
      step(
        () => nodeDisk.write(path, chunks),
        async () => {
          const whole = Buffer.concat(chunks);
          await writeFile(path, whole.subarray(0, whole.length >> 1));
        },
      ),
    sync: (path) => step(() => nodeDisk.sync(path)),
    rename: (from, to) => step(() => nodeDisk.rename(from, to)),
    remove: (path) =>
      step(
        () => nodeDisk.remove(path),
        async () => {
          const [first] = await nodeDisk.list(path).catch(() => []);
          if (first !== undefined) await nodeDisk.remove(join(path, first));
        },
      ),
  };
  return { disk, operations: () => count };
}

describe('CheckpointStore', () => {
  it('gives back a snapshot to the bit', async () => {
    const store = new CheckpointStore(directory);
    await store.prepare();
    const written = await store.write(snapshotAt(812));
    const found = await new CheckpointStore(directory).readLatest();
    expect(found.path).toBe(written.path);
    expect(found.warnings).toEqual([]);
    expect(bitsOf(found.snapshot)).toBe(bitsOf(snapshotAt(812)));
    expect(written.path).toMatch(/checkpoint-000001-step-0000000812$/);
    const sizes = await Promise.all(
      (await readdir(written.path)).map(async (name) => (await readFile(join(written.path, name))).length),
    );
    expect(written.bytes).toBe(sizes.reduce((sum, size) => sum + size, 0));
  });

  it('writes equal files for equal snapshots', async () => {
    const store = new CheckpointStore(directory);
    const first = await store.write(snapshotAt(1));
    const second = await store.write(snapshotAt(1));
    for (const name of await readdir(first.path)) {
      const [a, b] = await Promise.all([first, second].map(({ path }) => readFile(join(path, name))));
      expect(a.equals(b)).toBe(true);
    }
  });

  it('keeps the last n, in the order of writing, whatever their steps', async () => {
    const store = new CheckpointStore(directory, { keepLast: 2 });
    for (const step of [30, 40, 10]) await store.write(snapshotAt(step));
    expect((await store.list()).map((path) => path.slice(directory.length + 1))).toEqual([
      'checkpoint-000003-step-0000000010',
      'checkpoint-000002-step-0000000040',
    ]);
    expect((await readdir(directory)).length).toBe(2);
    expect((await store.readLatest()).snapshot.run.step).toBe(10);
  });

  it('detects a flipped bit in any file', async () => {
    const { path } = await new CheckpointStore(directory).write(snapshotAt(2));
    const files = new Map<string, Uint8Array>();
    for (const name of await readdir(path)) files.set(join(path, name), await readFile(join(path, name)));
    expect(files.size).toBe(6);
    const inMemory: Disk = { ...nodeDisk, read: async (name) => files.get(name)! };
    expect(bitsOf(await readSnapshot(inMemory, path))).toBe(bitsOf(snapshotAt(2)));
    for (const [name, good] of files) {
      // Every bit of the small files; of the larger ones at a stride that meets every byte position and bit.
      for (let bit = 0; bit < good.length * 8; bit += good.length < 100 ? 1 : 5) {
        const bad = Uint8Array.from(good);
        bad[bit >> 3] ^= 1 << (bit & 7);
        files.set(name, bad);
        const reading = readSnapshot(inMemory, path).then(
          () => 'read',
          (error) => error.code,
        );
        expect(await reading, `${name} bit ${bit}`).toBe('CHECKPOINT_CORRUPT');
      }
      files.set(name, good);
    }
  });

  it('falls back to the checkpoint before a damaged one, and says so', async () => {
    const store = new CheckpointStore(directory);
    await store.write(snapshotAt(1));
    const { path } = await store.write(snapshotAt(2));
    const weights = await readFile(join(path, 'weights.bin'));
    weights[3] ^= 4;
    await writeFile(join(path, 'weights.bin'), weights);
    const found = await new CheckpointStore(directory).readLatest();
    expect(bitsOf(found.snapshot)).toBe(bitsOf(snapshotAt(1)));
    expect(found.warnings).toHaveLength(1);
    expect(found.warnings[0]).toContain(`${path}: weights.bin does not match its checksum`);
  });

  it('detects a file cut short, grown or gone', async () => {
    const store = new CheckpointStore(directory);
    const { path } = await store.write(snapshotAt(2));
    for (const name of await readdir(path)) {
      const good = await readFile(join(path, name));
      for (const bad of [good.subarray(0, -1), Buffer.concat([good, Buffer.of(0)]), null]) {
        await (bad === null ? rm(join(path, name)) : writeFile(join(path, name), bad));
        await expect(store.readLatest()).rejects.toMatchObject({ code: 'CHECKPOINT_CORRUPT' });
        await writeFile(join(path, name), good);
      }
    }
    expect((await store.readLatest()).snapshot.run.step).toBe(2);
  });

  it('does not let a damaged checkpoint push out an intact one', async () => {
    const store = new CheckpointStore(directory, { keepLast: 2 });
    await store.write(snapshotAt(1));
    const { path } = await store.write(snapshotAt(2));
    await writeFile(join(path, 'weights.bin'), '');
    const resumed = new CheckpointStore(directory, { keepLast: 2 });
    expect((await resumed.readLatest()).snapshot.run.step).toBe(1);
    const next = await resumed.write(snapshotAt(3));
    await rm(next.path, { recursive: true });
    expect((await new CheckpointStore(directory).readLatest()).snapshot.run.step).toBe(1);
  });

  it('says so when there is nothing to read, and when another version wrote it', async () => {
    await expect(new CheckpointStore(join(directory, 'none')).readLatest()).rejects.toMatchObject({
      code: 'CHECKPOINT_NOT_FOUND',
    });
    const store = new CheckpointStore(directory);
    const { path } = await store.write(snapshotAt(1));
    const later = (await readFile(join(path, 'run.json'), 'utf8')).replace('"format":2', '"format":3');
    const { sha256 } = await nodeDisk.write(join(path, 'run.json'), [Buffer.from(later)]);
    await writeFile(join(path, 'run.json.sha256'), `${sha256}  run.json\n`);
    await expect(store.readLatest()).rejects.toMatchObject({ code: 'CHECKPOINT_MISMATCH' });
  });

  it('finds out before training that a folder cannot be written', async () => {
    const file = join(directory, 'file');
    await writeFile(file, '');
    for (const path of [file, join(file, 'below')]) {
      await expect(new CheckpointStore(path).prepare()).rejects.toMatchObject({
        code: 'CHECKPOINT_UNWRITABLE',
      });
    }
    const { disk } = dyingDisk(2, 'EACCES');
    await expect(new CheckpointStore(directory, { disk }).prepare()).rejects.toMatchObject({
      code: 'CHECKPOINT_UNWRITABLE',
      hint: 'Choose a folder that you may write to.',
    });
  });

  it('loses nothing when it dies at any operation of a write', async () => {
    const { disk: counting, operations } = dyingDisk(Number.POSITIVE_INFINITY);
    const trial = join(directory, 'trial');
    await new CheckpointStore(trial).write(snapshotAt(1));
    await new CheckpointStore(trial, { disk: counting, keepLast: 1 }).write(snapshotAt(2));
    expect(operations()).toBeGreaterThan(10);
    const outcomes = new Set<number>();
    for (let diesAt = 1; diesAt <= operations(); diesAt++) {
      const path = join(directory, `dies-${diesAt}`);
      await new CheckpointStore(path).write(snapshotAt(1));
      const dying = new CheckpointStore(path, { disk: dyingDisk(diesAt).disk, keepLast: 1 });
      await dying.write(snapshotAt(2)).catch((error) => {
        expect(error).toMatchObject({ code: 'CHECKPOINT_UNWRITABLE' });
      });
      const reopened = new CheckpointStore(path, { keepLast: 1 });
      await reopened.prepare();
      const { snapshot, warnings } = await reopened.readLatest();
      expect(warnings).toEqual([]);
      expect(bitsOf(snapshot)).toBe(bitsOf(snapshotAt(snapshot.run.step)));
      outcomes.add(snapshot.run.step);
      await reopened.write(snapshotAt(3));
      expect(await readdir(path)).toHaveLength(1);
    }
    expect([...outcomes].sort()).toEqual([1, 2]);
  });

  it('frees the space again when the disk is full, and keeps what was there', async () => {
    await new CheckpointStore(directory).write(snapshotAt(1));
    let full = true;
    const disk: Disk = {
      ...nodeDisk,
      write: (path, chunks) =>
        full && path.endsWith('state.safetensors')
          ? Promise.reject(errnoError('ENOSPC'))
          : nodeDisk.write(path, chunks),
    };
    const store = new CheckpointStore(directory, { disk });
    await expect(store.write(snapshotAt(2))).rejects.toMatchObject({
      code: 'CHECKPOINT_UNWRITABLE',
      hint: expect.stringContaining('space'),
    });
    expect(await readdir(directory)).toEqual(['checkpoint-000001-step-0000000001']);
    full = false;
    await store.write(snapshotAt(2));
    expect((await store.readLatest()).snapshot.run.step).toBe(2);
  });

  it('leaves the files of others alone', async () => {
    await mkdir(join(directory, 'checkpoint-mine'));
    await writeFile(join(directory, 'log.csv'), 'epoch\n');
    const store = new CheckpointStore(directory, { keepLast: 1 });
    await store.prepare();
    await store.write(snapshotAt(1));
    await store.write(snapshotAt(2));
    expect((await readdir(directory)).sort()).toEqual([
      'checkpoint-000002-step-0000000002',
      'checkpoint-mine',
      'log.csv',
    ]);
  });

  it('hashes to the same state after a round trip', async () => {
    const hash = ({ manifest, flat, slots, tensors, run }: Snapshot) =>
      stateSha256({
        manifest,
        flat,
        slots,
        tensors,
        callbacks: run.callbacks,
        cursor: run.cursor,
        epoch: run.epoch,
        step: run.step,
        iteration: run.optimizer.iteration,
        learningRate: run.optimizer.learningRate,
      });
    const store = new CheckpointStore(directory);
    await store.write(snapshotAt(5));
    expect(hash((await store.readLatest()).snapshot)).toBe(hash(snapshotAt(5)));
    expect(hash(snapshotAt(6))).not.toBe(hash(snapshotAt(5)));
  });
});
