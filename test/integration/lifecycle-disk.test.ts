import { cp, readdir, readFile, rm, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { bitsOf, fixtureJob, TestRun, type Trained } from './test-run.js';

// test/fixtures/jobs/cnn.ts, tiny: 10 steps an epoch, 2 epochs, a checkpoint every 4 steps and at the ends of epochs.
const decided = ['--shards', '4', '--seed', '7', '--backend', 'cpu', '--workers', '1'];
const tiny = { LOCKSTEP_TEST_SIZE: 'tiny' };
const job = [fixtureJob('cnn'), ...decided];

let shared: TestRun;
let undisturbed: Trained;
let run: TestRun;

beforeAll(async () => {
  shared = await TestRun.begin();
  undisturbed = await shared.train(job, tiny);
  expect(undisturbed.report.steps).toBe(20);
});
afterAll(() => shared.end());
beforeEach(async () => {
  run = await TestRun.begin();
});
afterEach(() => run.end());

const resume = (folder: string): Promise<Trained> =>
  run.train([...job, '--checkpoint-dir', folder, '--resume'], tiny);

describe('a coordinator killed while it writes a checkpoint', () => {
  it.each(['first file', 'middle', 'last file', 'renaming', 'renamed', 'removing', 'half removed'])(
    'at the point “%s” can be resumed with the same bits, and what it left is cleared away',
    async (point) => {
      const folder = run.at('run');
      const args = ['train', fixtureJob('killed-saving'), ...decided, '--checkpoint-dir', folder];
      const killed = await run.start(args, { ...tiny, LOCKSTEP_TEST_KILL_AT: point }).ended;
      expect(killed.exitCode).toBeNull();
      const left = await readdir(folder);
      // The first four points are before the new one is there; the last two are after the old one's name is gone.
      expect(left.filter((name) => name.startsWith('.unfinished'))).toHaveLength(point === 'renamed' ? 0 : 1);
      expect(left.filter((name) => name.startsWith('checkpoint-'))).toHaveLength(point === 'renamed' ? 3 : 2);
      await expect.poll(() => run.running(), { timeout: 10_000 }).toEqual([]);

      const resumed = await resume(folder);
      expect(bitsOf(resumed)).toEqual(bitsOf(undisturbed));
      expect(resumed.entries.filter(({ event }) => event === 'warning')).toEqual([]);
      const names = await readdir(folder);
      expect(names.filter((name) => /^(checkpoint-|lock-)/.test(name))).toHaveLength(3);
      expect(names.filter((name) => name.startsWith('.'))).toEqual([]);
    },
  );
});

describe('a damaged newest checkpoint', () => {
  let saved: string;
  /** Of the two checkpoints, oldest first. */
  let names: string[];
  beforeAll(async () => {
    saved = shared.at('saved');
    const held = shared.startTraining(['train', ...job, '--checkpoint-dir', saved], {
      ...tiny,
      LOCKSTEP_TEST_HOLD: '7,9,10',
    });
    // One checkpoint is written at a time: a disk that is slow must not let the next take the place of one that waits.
    for (const [saved, holding] of [
      [4, 7],
      [8, 9],
    ]) {
      await held.process.entry(({ event, step }) => event === 'checkpoint' && step === saved);
      await held.process.entry(({ message }) => message === `holding after step ${holding}`);
      held.process.kill('SIGUSR2');
    }
    await held.process.entry(({ message }) => message === 'holding after step 10');
    held.process.kill('SIGTERM');
    expect((await held.trained).report.steps).toBe(10);
    names = (await readdir(saved)).filter((name) => name.startsWith('checkpoint-')).sort();
    expect(names.map((name) => name.slice(-'step-0000000000'.length))).toEqual([
      'step-0000000008',
      'step-0000000010',
    ]);
  });

  const flip = async (file: string): Promise<void> => {
    const bytes = await readFile(file);
    bytes[bytes.length >> 1] ^= 1;
    await writeFile(file, bytes);
  };
  const shorten = async (file: string): Promise<void> => truncate(file, (await readFile(file)).length >> 1);

  it.each([
    ['model.json', 'with a flipped bit', flip],
    ['weights.bin', 'cut short', shorten],
    ['optimizer.safetensors', 'with a flipped bit', flip],
    ['state.safetensors', 'that is missing', (file: string) => rm(file)],
    ['run.json', 'with a flipped bit', flip],
    ['run.json.sha256', 'cut short', shorten],
  ])(
    '(%s %s) is passed over: the one before it gives the same bits, and the loss is told',
    async (file, _how, damage) => {
      const folder = run.at('copy');
      await cp(saved, folder, { recursive: true });
      expect((await readdir(join(folder, names[1]))).sort()).toContain(file);
      await damage(join(folder, names[1], file));
      const resumed = await resume(folder);
      expect(resumed.report.resumedAtStep).toBe(8);
      expect(bitsOf(resumed)).toEqual(bitsOf(undisturbed));
      const warnings = resumed.entries.filter(({ event }) => event === 'warning');
      expect(warnings.map(({ message }) => message)).toEqual([
        // The last one is the checksum of the one before it.
        expect.stringContaining(
          `passed over the damaged checkpoint ${join(folder, names[1])}: ${file.replace(/\.sha256$/, '')}`,
        ),
        '2 steps are lost, and trained again from step 8',
      ]);
    },
  );

  it('of another run is passed over as well', async () => {
    const other = run.at('other');
    const seeded = ['--shards', '4', '--seed', '8', '--backend', 'cpu', '--workers', '1'];
    await run.train([fixtureJob('cnn'), ...seeded, '--checkpoint-dir', other], tiny);
    const newest =
      (await readdir(other))
        .filter((name) => name.startsWith('checkpoint-'))
        .sort()
        .at(-1) ?? '';
    expect(newest).toMatch(/-step-0000000020$/);
    const folder = run.at('copy');
    await cp(saved, folder, { recursive: true });
    await cp(join(other, newest), join(folder, 'checkpoint-000009-step-0000000020'), { recursive: true });
    const resumed = await resume(folder);
    expect(resumed.report).toMatchObject({ resumedAtStep: 10, seed: 7 });
    expect(bitsOf(resumed)).toEqual(bitsOf(undisturbed));
    const warnings = resumed.entries.filter(({ event }) => event === 'warning');
    expect(warnings[0].message).toMatch(
      /passed over the checkpoint .*step-0000000020: it is of run \w+, not \w+$/,
    );
  });
});
