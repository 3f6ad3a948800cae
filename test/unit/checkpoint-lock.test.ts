import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { hostname, tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { claimTerm, lockRun } from '../../coordinator/checkpoint/lock.js';

let directory: string;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'lockstep-lock-'));
});
afterEach(() => rm(directory, { recursive: true, force: true }));

/** A process that takes the lock, says its term, and stays. */
async function ownerProcess(folder = directory) {
  const lock = new URL('../../coordinator/checkpoint/lock.ts', import.meta.url).href;
  const script = `const { lockRun } = await import(${JSON.stringify(lock)});
    const { term } = await lockRun(${JSON.stringify(folder)});
    process.stdout.write(String(term));
    setInterval(() => {}, 1000);`;
  const child = spawn(process.execPath, ['--import', 'tsx', '--input-type=module', '-e', script], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const [term] = await once(child.stdout, 'data');
  return { child, term: Number(term) };
}

const owner = (fields: object) =>
  JSON.stringify({ pid: process.pid, host: hostname(), process: null, released: false, ...fields });

describe('the lock of a run folder', () => {
  it('makes the folder, and gives a larger term each time', async () => {
    const folder = join(directory, 'a', 'b');
    for (const term of [1, 2, 3]) {
      const lock = await lockRun(folder);
      expect(lock.term).toBe(term);
      await lock.release();
    }
    expect(await readdir(folder)).toEqual(['lock-000003.json']);
  });

  it('refuses a folder that a live process holds, naming its pid', async () => {
    const lock = await lockRun(directory);
    await expect(lockRun(directory)).rejects.toMatchObject({
      code: 'RUN_LOCKED',
      message: expect.stringContaining(`process ${process.pid} `),
    });
    await lock.release();
    expect((await lockRun(directory)).term).toBe(2);
  });

  it('takes over from a process that was killed', async () => {
    const { child, term } = await ownerProcess();
    expect(term).toBe(1);
    await expect(lockRun(directory)).rejects.toMatchObject({
      code: 'RUN_LOCKED',
      message: expect.stringContaining(`process ${child.pid} `),
    });
    child.kill('SIGKILL');
    await once(child, 'exit');
    expect((await lockRun(directory)).term).toBe(2);
  });

  it.runIf(process.platform === 'linux')('is not fooled by a pid that is used again', async () => {
    // This process lives, but it is not the one of that pid that took the lock.
    await writeFile(join(directory, 'lock-000007.json'), owner({ process: 'another-boot:1' }));
    expect((await lockRun(directory)).term).toBe(8);
  });

  it('never takes over from another host, whose processes it cannot see', async () => {
    await writeFile(join(directory, 'lock-000002.json'), owner({ pid: 999_999_999, host: 'elsewhere' }));
    await expect(lockRun(directory)).rejects.toMatchObject({
      code: 'RUN_LOCKED',
      message: expect.stringContaining('elsewhere'),
    });
  });

  it('takes over a lock file that a crash of the machine left empty', async () => {
    await writeFile(join(directory, 'lock-000004.json'), '');
    expect((await lockRun(directory)).term).toBe(5);
  });

  it('goes to one of many that ask at once for a dead owner’s folder', async () => {
    for (let round = 0; round < 10; round++) {
      await writeFile(join(directory, 'lock-000001.json'), owner({ pid: 999_999_999 }));
      const outcomes = await Promise.allSettled(Array.from({ length: 8 }, () => lockRun(directory)));
      expect(outcomes.filter(({ status }) => status === 'fulfilled')).toHaveLength(1);
      for (const outcome of outcomes) {
        if (outcome.status === 'rejected') expect(outcome.reason).toMatchObject({ code: 'RUN_LOCKED' });
      }
      const names = (await readdir(directory)).filter((name) => name.startsWith('lock-'));
      expect(names).toEqual(['lock-000002.json']);
      expect(JSON.parse(await readFile(join(directory, names[0]), 'utf8'))).toMatchObject({
        pid: process.pid,
        released: false,
      });
      await rm(join(directory, names[0]));
    }
  });

  it('has one owner at a time, with a term that only grows, however many come and go', async () => {
    let owners = 0;
    const owned: number[] = [];
    const comeAndGo = async () => {
      for (let attempt = 0; attempt < 40; attempt++) {
        const lock = await lockRun(directory).catch((error) => {
          expect(error).toMatchObject({ code: 'RUN_LOCKED' });
        });
        if (lock === undefined) continue;
        owners++;
        owned.push(lock.term);
        expect(owners).toBe(1);
        await new Promise(setImmediate);
        owners--;
        await lock.release();
      }
    };
    await Promise.all(Array.from({ length: 6 }, comeAndGo));
    expect(owned.length).toBeGreaterThan(5);
    expect(owned).toEqual([...new Set(owned)].sort((a, b) => a - b));
  });

  it('turns away one that read the folder before others came, went and cleaned up', async () => {
    const { term, release } = await lockRun(directory);
    await release();
    const late = join(directory, 'late');
    await writeFile(late, owner({}));
    // The late one saw `term` released and wants the next; two others had that and the one after it meanwhile.
    await (await lockRun(directory)).release();
    const holder = await lockRun(directory);
    await expect(claimTerm(directory, term + 1, late)).rejects.toMatchObject({ code: 'RUN_LOCKED' });
    expect((await readdir(directory)).filter((name) => name.startsWith('lock-'))).toEqual([
      `lock-00000${holder.term}.json`,
    ]);
  });

  it('says that the folder cannot be written', async () => {
    const file = join(directory, 'file');
    await writeFile(file, '');
    await expect(lockRun(file)).rejects.toMatchObject({ code: 'CHECKPOINT_UNWRITABLE' });
  });

  it('is known to be lost by an owner in whose place another was let in, who then changes nothing', async () => {
    const stale = await lockRun(directory);
    await stale.verify();
    const path = join(directory, 'lock-000001.json');
    const written = JSON.parse(await readFile(path, 'utf8'));
    await writeFile(path, JSON.stringify({ ...written, released: true }));
    const next = await lockRun(directory);
    const before = await readFile(join(directory, 'lock-000002.json'), 'utf8');
    const taken = {
      code: 'RUN_LOCKED',
      message: expect.stringContaining('another coordinator with term 2 has taken over'),
    };
    await expect(stale.verify()).rejects.toMatchObject(taken);
    await expect(stale.nameRun('mine')).rejects.toMatchObject(taken);
    await stale.release();
    expect(await readdir(directory)).toEqual(['lock-000002.json']);
    expect(await readFile(join(directory, 'lock-000002.json'), 'utf8')).toBe(before);
    await next.verify();
  });

  it('is lost as well to an owner of the same term, after somebody removed the folder', async () => {
    const folder = join(directory, 'run');
    const stale = await lockRun(folder);
    await rm(folder, { recursive: true });
    const { child, term } = await ownerProcess(folder);
    expect(term).toBe(1);
    await expect(stale.verify()).rejects.toMatchObject({ code: 'RUN_LOCKED' });
    child.kill('SIGKILL');
  });

  it('is made again when somebody removed it, as long as nobody else came', async () => {
    const folder = join(directory, 'run');
    const lock = await lockRun(folder);
    await rm(folder, { recursive: true });
    await lock.verify();
    expect(await readdir(folder)).toEqual(['lock-000001.json']);
    await expect(lockRun(folder)).rejects.toMatchObject({ code: 'RUN_LOCKED' });
  });

  it('remembers whose checkpoints the folder holds, over owners that come, go and crash', async () => {
    const first = await lockRun(directory);
    expect(first.runId).toBeNull();
    await first.nameRun('a run');
    await first.nameRun('another');
    await first.release();
    const second = await lockRun(directory);
    expect(second.runId).toBe('another');
    await second.release();
    expect((await lockRun(directory)).runId).toBe('another');
    expect(await readdir(directory)).toEqual(['lock-000003.json']);
  });
});
