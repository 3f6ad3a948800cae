import { execFile } from 'node:child_process';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { bitsOf, fixtureJob, TestRun } from './test-run.js';

let run: TestRun;
beforeEach(async () => {
  run = await TestRun.begin();
});
afterEach(() => run.end());

describe('a disk that is full', () => {
  /** The limit on the size of files: with 0, no file takes a byte more. Sockets and pipes are not concerned. */
  const limit = (pid: number, bytes: '0' | 'unlimited') =>
    promisify(execFile)('prlimit', ['--pid', String(pid), `--fsize=${bytes}:unlimited`]);

  /** Also those that were begun and not finished. */
  const checkpointsIn = async (folder: string): Promise<string[]> =>
    (await readdir(folder)).filter((name) => name.includes('checkpoint-'));

  const args = [fixtureJob('logged'), '--shards', '4', '--seed', '7', '--backend', 'wasm', '--workers', '2'];

  async function trainOnFullDisk(hold: string, environment = {}) {
    const folder = run.at('run');
    const asked = { ...environment, LOCKSTEP_TEST_HOLD: hold, LOCKSTEP_TEST_FILES: run.at('files') };
    const started = run.startTraining(['train', ...args, '--checkpoint-dir', folder], asked);
    await started.process.entry(({ message }) => message === 'holding after step 2');
    await limit(started.process.pid, '0');
    started.process.kill('SIGUSR2');
    return { ...started, folder };
  }

  it.each([
    ['arrays', {}],
    ['a stream', { LOCKSTEP_TEST_STREAM: 'yes' }],
  ])(
    'costs a training on %s no bit: it is warned of once, tried again, and what was owed is written',
    async (_what, environment) => {
      const whole = { ...environment, LOCKSTEP_TEST_FILES: run.at('undisturbed') };
      const undisturbed = await run.train([...args, '--checkpoint-dir', run.at('whole')], whole);
      const { process, trained, folder } = await trainOnFullDisk('2,11', environment);
      await process.entry(({ message }) => message === 'holding after step 11');
      for (const failed of [/^cannot write to /, /^receipts cannot be written to /])
        await process.entry((entry) => entry.event === 'warning' && failed.test(String(entry.message)));
      // A checkpoint was due after steps 4, 6 and 8.
      expect(await checkpointsIn(folder)).toEqual([]);
      await limit(process.pid, 'unlimited');
      const { message } = await process.entry((entry) =>
        String(entry.message).startsWith('saving works again'),
      );
      // Which of the steps it is hangs on when the disk is done with the one before.
      expect(message).toMatch(
        /^saving works again: step ([4-9]|1[0-2]) is saved, after \d+ failed attempts in \d+\.\d s$/,
      );
      process.kill('SIGUSR2');
      const { exitCode, report, entries } = await trained;
      expect(exitCode).toBe(0);
      expect(bitsOf({ report })).toEqual(bitsOf(undisturbed));
      expect(report.receipts?.chain).toBe(undisturbed.report.receipts?.chain);
      const warnings = entries
        .filter(({ event }) => event === 'warning')
        .map((entry) => String(entry.message));
      expect(warnings.sort()).toEqual([
        expect.stringMatching(/^cannot write to .*EFBIG.* Training goes on/),
        expect.stringMatching(/^receipts cannot be written to .*EFBIG.* Training goes on/),
      ]);
      const notices = entries.filter(({ event }) => event === 'notice').map((entry) => String(entry.message));
      expect(notices).toContainEqual(expect.stringMatching(/^warning: csvLogger cannot write .*EFBIG/));
      expect(notices).toContainEqual(
        expect.stringMatching(/^warning: modelCheckpoint could not save .*epoch-1/),
      );
      expect(notices).toContainEqual(expect.stringMatching(/^csvLogger writes .* again/));
      const table = await readFile(join(run.at('files'), 'log.csv'), 'utf8');
      expect(table.split('\n').map((row) => row.split(',')[0])).toEqual(['epoch', '0', '1', '']);
      // The model of the second epoch, whole; of the first, nothing.
      expect((await readdir(run.at('files'), { recursive: true })).sort()).toEqual([
        'epoch-1',
        'epoch-2',
        'epoch-2/model.json',
        expect.stringMatching(/^epoch-2\/weights-\w+\.bin$/),
        'log.csv',
      ]);
    },
  );

  it('to the very end costs the last state alone, and says so', async () => {
    const { process, folder } = await trainOnFullDisk('2');
    const { exitCode, stderr, entries } = await process.ended;
    expect(stderr).toMatch(
      /^error: the last state, step 12, could not be saved, but nothing of the run is saved: .*\n {2}\S.+\n$/,
    );
    expect(exitCode).toBe(2);
    const warnings = entries.filter(({ event }) => event === 'warning').map(({ message }) => String(message));
    expect(warnings.sort()).toEqual([
      expect.stringMatching(/^cannot write to .*EFBIG.* Training goes on/),
      expect.stringMatching(/^receipts cannot be written to .*EFBIG.* Training goes on/),
      expect.stringMatching(/^the lock of .* stays: /),
    ]);
    expect(await checkpointsIn(folder)).toEqual([]);
    expect(await run.running()).toEqual([]);
  });
});
