import { cp, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { Lockstep } from './cli-process.js';
import { flipWeightBit } from './flip-weight-bit.js';
import { bitsOf, fixtureJob, TestRun, type Trained } from './test-run.js';

// test/fixtures/jobs/cnn.ts: 6 steps an epoch, 2 epochs, a checkpoint every 4 steps and at the ends of epochs.
const job = [fixtureJob('cnn'), '--backend', 'wasm'];
const fresh = [...job, '--shards', '4', '--seed', '7'];

let shared: TestRun;
let undisturbed: Trained;
/** Stopped by SIGINT two steps into the second epoch, and the rows it had read in order, batch by batch. */
let stopped: Trained;
let read: number[][];

let run: TestRun;

/** Starts a run that stops in its tracks after `step` steps. */
async function trainAndHold(own: TestRun, step: number, folder: string, workers: string) {
  const ledger = own.at('ledger');
  const { process, trained } = own.startTraining(
    ['train', ...fresh, '--workers', workers, '--checkpoint-dir', folder],
    { LOCKSTEP_TEST_HOLD: String(step), LOCKSTEP_TEST_LEDGER: ledger },
  );
  await process.entry(({ message }) => message === `holding after step ${step}`);
  return { process, trained, ledger };
}

/** As Ctrl-C in a terminal and most process supervisors do: every process gets the signal, workers too. */
async function signalAll(own: TestRun, signal: NodeJS.Signals): Promise<void> {
  for (const pid of await own.running()) process.kill(pid, signal);
}

function saved(process: Lockstep, step: number) {
  return process.entry((entry) => entry.event === 'checkpoint' && entry.step === step);
}

/** A copy of a run folder to resume from, so that every test starts from the same. */
async function copyOf(folder: string): Promise<string> {
  const copy = run.at('copy');
  await cp(folder, copy, { recursive: true });
  return copy;
}

function resume(folder: string, workers: string, environment: Record<string, string> = {}): Promise<Trained> {
  return run.train([...job, '--workers', workers, '--checkpoint-dir', folder, '--resume'], environment);
}

beforeAll(async () => {
  shared = await TestRun.begin();
  undisturbed = await shared.train([...fresh, '--workers', '2']);
  const held = await trainAndHold(shared, 8, shared.at('stopped'), '2');
  await signalAll(shared, 'SIGINT');
  stopped = await held.trained;
  const lines = (await readFile(held.ledger, 'utf8')).trimEnd().split('\n');
  read = lines.map((line) => JSON.parse(line));
});
afterAll(() => shared.end());
beforeEach(async () => {
  run = await TestRun.begin();
});
afterEach(() => run.end());

describe('a run stopped by SIGINT in the middle of an epoch', () => {
  it('has saved the step it stopped after, and left no process behind', async () => {
    expect(stopped.exitCode).toBe(130);
    expect(stopped.report).toMatchObject({ cause: 'signal', steps: 8, epochs: 1 });
    expect(await readFile(join(String(stopped.report.checkpoint), 'run.json'), 'utf8')).toContain('"step":8');
    expect(await shared.running()).toEqual([]);
  });

  it.each(['1', '3'])('ends with the bits of an undisturbed run on %s workers', async (workers) => {
    const resumed = await resume(await copyOf(shared.at('stopped')), workers);
    expect(resumed.exitCode).toBe(0);
    expect(resumed.report).toMatchObject({ resumedAtStep: 8, seed: 7, shards: 4 });
    // Three whole batches and the ragged one: nothing of the first 8 steps was computed again.
    expect(resumed.report.shardsComputed).toBe(3 * 4 + 2);
    expect(bitsOf(resumed)).toEqual(bitsOf(undisturbed));
  });

  it('never reads again what the open epoch has consumed', async () => {
    const consumed = read.slice(6, 8).flat();
    expect(new Set(consumed).size).toBe(2 * 32);
    const poison = { LOCKSTEP_TEST_POISON: JSON.stringify(consumed) };
    const resumed = await resume(await copyOf(shared.at('stopped')), '2', poison);
    expect(bitsOf(resumed)).toEqual(bitsOf(undisturbed));

    // The poison works: a run that starts anew reads those rows and fails.
    const anew = await run.start(['train', ...fresh], poison).ended;
    expect(anew.exitCode).toBe(1);
    expect(anew.stderr).toMatch(/row \d+ was trained on before and is read again/);
    expect(await run.running()).toEqual([]);
  });

  it('ends otherwise when one bit of the saved weights was changed', async () => {
    const folder = await copyOf(shared.at('stopped'));
    await flipWeightBit(newestIn(folder, stopped), { andItsChecksums: true });
    const resumed = await resume(folder, '2');
    expect(resumed.exitCode).toBe(0);
    expect(resumed.report).toMatchObject({ resumedAtStep: 8, steps: 12 });
    expect(resumed.report.weightsSha256).not.toBe(undisturbed.report.weightsSha256);
  });
});

it('a run stopped by SIGTERM in its first epoch exits with 143 and can be resumed', async () => {
  const folder = run.at('run');
  const held = await trainAndHold(run, 5, folder, '1');
  await signalAll(run, 'SIGTERM');
  const terminated = await held.trained;
  expect(terminated.exitCode).toBe(143);
  expect(terminated.report).toMatchObject({ cause: 'signal', steps: 5, epochs: 0 });
  expect(await run.running()).toEqual([]);

  // A changed bit is noticed by the checksums; the checkpoint before it, of step 4, serves.
  await flipWeightBit(newestIn(folder, terminated), { andItsChecksums: false });
  const resumed = await resume(folder, '3');
  expect(resumed.exitCode).toBe(0);
  const warnings = resumed.entries.filter(({ event }) => event === 'warning');
  expect(warnings.map(({ message }) => message)).toEqual([
    expect.stringMatching(/passed over the damaged checkpoint .*step-0000000005: weights\.bin/),
    '1 step is lost, and trained again from step 4',
  ]);
  expect(resumed.report.resumedAtStep).toBe(4);
  expect(bitsOf(resumed)).toEqual(bitsOf(undisturbed));
});

it('a coordinator killed after a checkpoint leaves no worker, and another goes on from there', async () => {
  const folder = run.at('run');
  const { process } = await trainAndHold(run, 5, folder, '2');
  await saved(process, 4);
  expect(await run.running()).toHaveLength(3);
  process.kill('SIGKILL');
  expect((await process.ended).exitCode).toBeNull();
  await expect.poll(() => run.running(), { timeout: 10_000 }).toEqual([]);

  const resumed = await resume(folder, '2');
  expect(resumed.exitCode).toBe(0);
  expect(resumed.report.resumedAtStep).toBe(4);
  expect(bitsOf(resumed)).toEqual(bitsOf(undisturbed));
});

/** The checkpoint that a run ended with, in the run folder or a copy of it. */
function newestIn(folder: string, { report }: Trained): string {
  const path = String(report.checkpoint);
  return join(folder, path.slice(path.lastIndexOf('/') + 1));
}
