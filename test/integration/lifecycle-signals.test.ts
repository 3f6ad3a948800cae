import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { bitsOf, fixtureJob, stalledPid, TestRun, type Trained } from './test-run.js';

const decided = ['--shards', '4', '--seed', '7', '--backend', 'wasm'];
const interrupted = [fixtureJob('interrupted'), ...decided];
const stream = [fixtureJob('dry'), ...decided];

let shared: TestRun;
let undisturbed: Trained;
let undisturbedStream: Trained;
let run: TestRun;

beforeAll(async () => {
  shared = await TestRun.begin();
  undisturbed = await shared.train([...interrupted, '--workers', '2']);
  undisturbedStream = await shared.train([...stream, '--workers', '2']);
});
afterAll(() => shared.end());
beforeEach(async () => {
  run = await TestRun.begin();
});
afterEach(() => run.end());

/** Seconds from now until a promise is settled. */
async function secondsUntil(settled: Promise<unknown>): Promise<number> {
  const startedMs = performance.now();
  await settled;
  return (performance.now() - startedMs) / 1_000;
}

/** Starts a run whose only worker hangs in the second step, as a whole process: not even heartbeats come. */
async function trainAndHang(args: readonly string[]) {
  const stall = run.at('stalled');
  const started = run.startTraining(['train', ...interrupted, '--workers', '1', ...args], {
    LOCKSTEP_TEST_STALL: stall,
  });
  process.kill(await stalledPid(stall), 'SIGSTOP');
  return started;
}

describe('a signal while every worker hangs', () => {
  it('gives the step up after the grace, saves the last committed one, and ends with 143', async () => {
    const folder = run.at('run');
    const { process, trained } = await trainAndHang(['--checkpoint-dir', folder, '--grace-seconds', '2']);
    process.kill('SIGTERM');
    const seconds = await secondsUntil(process.ended);
    const { exitCode, report } = await trained;
    expect(exitCode).toBe(143);
    expect(report).toMatchObject({ cause: 'signal', steps: 1, epochs: 0 });
    // The grace, then five seconds in which the hung worker is asked to leave before it is ended.
    expect(seconds).toBeGreaterThan(2);
    expect(seconds).toBeLessThan(2 * 2 + 10);
    expect(await readFile(join(String(report.checkpoint), 'run.json'), 'utf8')).toContain('"step":1');
    expect(await run.running()).toEqual([]);

    const more = ['--workers', '3', '--checkpoint-dir', folder, '--resume'];
    const resumed = await run.train([...interrupted, ...more]);
    expect(resumed.report.resumedAtStep).toBe(1);
    expect(bitsOf(resumed)).toEqual(bitsOf(undisturbed));
  });

  it('a second one ends the process at once, and leaves nothing torn', async () => {
    const folder = run.at('run');
    const options = ['--checkpoint-dir', folder, '--workers', '1'];
    const held = run.startTraining(['train', ...interrupted, ...options], { LOCKSTEP_TEST_HOLD: '4' });
    await held.process.entry(({ message }) => message === 'holding after step 4');
    held.process.kill('SIGINT');
    expect((await held.trained).exitCode).toBe(130);
    const before = await readdir(folder, { recursive: true });

    const stall = run.at('stalled');
    const again = run.start(['train', ...interrupted, ...options, '--resume'], {
      LOCKSTEP_TEST_STALL: stall,
    });
    await stalledPid(stall);
    again.kill('SIGTERM');
    await again.entry(({ msg }) => msg?.startsWith('finishing the step') === true);
    again.kill('SIGTERM');
    expect(await secondsUntil(again.ended)).toBeLessThan(2);
    expect((await again.ended).exitCode).toBe(143);
    await expect.poll(() => run.running(), { timeout: 10_000 }).toEqual([]);
    const withoutLocks = (names: readonly string[]) =>
      names.filter((name) => !name.startsWith('lock-')).sort();
    expect(withoutLocks(await readdir(folder, { recursive: true }))).toEqual(withoutLocks(before));

    const resumed = await run.train([...interrupted, ...options, '--resume']);
    expect(resumed.report.resumedAtStep).toBe(4);
    expect(bitsOf(resumed)).toEqual(bitsOf(undisturbed));
  });
});

describe('a callback that never comes back', () => {
  it('is not waited for without an end: the process ends with 143, and leaves nothing torn', async () => {
    const folder = run.at('run');
    const args = [
      'train',
      ...interrupted,
      '--checkpoint-dir',
      folder,
      '--workers',
      '2',
      '--grace-seconds',
      '0',
    ];
    const hung = run.start(args, { LOCKSTEP_TEST_HANG: '5' });
    await hung.entry(({ message }) => message === 'hanging after step 5');
    await hung.entry(({ event }) => event === 'checkpoint');
    hung.kill('SIGTERM');
    // The grace twice, and ten seconds to dismiss the workers.
    const seconds = await secondsUntil(hung.ended);
    expect(seconds).toBeGreaterThan(9.5);
    expect(seconds).toBeLessThan(13);
    const { exitCode, entries } = await hung.ended;
    expect(exitCode).toBe(143);
    expect(entries.at(-1)?.msg).toBe('not ended 10 s after SIGTERM: ending now');
    await expect.poll(() => run.running(), { timeout: 10_000 }).toEqual([]);
    const left = (await readdir(folder)).sort();
    expect(left).toEqual([
      expect.stringMatching(/^checkpoint-\d+-step-0000000004$/),
      expect.stringMatching(/^lock-\d+\.json$/),
      'receipts.jsonl',
    ]);
    const receipts = await readFile(join(folder, 'receipts.jsonl'), 'utf8');
    for (const line of receipts.trimEnd().split('\n')) expect(JSON.parse(line)).toHaveProperty('chain');

    const resumed = await run.train([
      ...interrupted,
      '--checkpoint-dir',
      folder,
      '--workers',
      '3',
      '--resume',
    ]);
    expect(resumed.report.resumedAtStep).toBe(4);
    expect(bitsOf(resumed)).toEqual(bitsOf(undisturbed));
    expect(resumed.entries.filter(({ event }) => event === 'warning')).toEqual([]);
  });
});

describe('data that never comes', () => {
  it('is told of, and a signal ends the wait at once, with what was committed saved', async () => {
    const folder = run.at('run');
    // 3 · 32 records are three batches; 16 more are in the buffer that shuffles.
    const started = run.startTraining(['train', ...stream, '--workers', '2', '--checkpoint-dir', folder], {
      LOCKSTEP_TEST_DRY: String(3 * 32 + 16),
    });
    const { reason } = await started.process.entry(({ event }) => event === 'waiting');
    expect(reason).toMatch(/^waiting for the data of step 4, 1\d\.\d s$/);
    const status = await run.start(['status', folder]).ended;
    expect(status.stdout).toMatch(/^between steps\nwaiting for the data of step 4, \d+\.\d s\n/);
    started.process.kill('SIGTERM');
    // Long before the grace of 30 s: the time to close the source, to save, and to dismiss the workers.
    expect(await secondsUntil(started.process.ended)).toBeLessThan(15);
    const { exitCode, report } = await started.trained;
    expect(exitCode).toBe(143);
    expect(report).toMatchObject({ cause: 'signal', steps: 3 });
    expect(await run.running()).toEqual([]);

    const resumed = await run.train([...stream, '--workers', '1', '--checkpoint-dir', folder, '--resume']);
    expect(resumed.report.resumedAtStep).toBe(3);
    expect(bitsOf(resumed)).toEqual(bitsOf(undisturbedStream));
  });
});
