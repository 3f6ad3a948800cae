import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { datasets, expectNotDoneAgain, shardsOfRun } from './exact-run.js';
import { bitsOf, fixtureJob, stalledPid, TestRun, type Trained } from './test-run.js';

const decided = ['--shards', '4', '--seed', '7', '--backend', 'wasm'];
const job = [fixtureJob('interrupted'), ...decided];

let shared: TestRun;
let undisturbed: Trained;
let run: TestRun;

beforeAll(async () => {
  shared = await TestRun.begin();
  undisturbed = await shared.train([...job, '--workers', '2']);
});
afterAll(() => shared.end());
beforeEach(async () => {
  run = await TestRun.begin();
});
afterEach(() => run.end());

describe('a run that loses all its workers', () => {
  it('says that it waits, then saves the last committed step and ends with exit code 3', async () => {
    const folder = run.at('run');
    const saving = ['--checkpoint-dir', folder];
    const coordinator = await run.startCoordinator([...job, ...saving, '--wait-for-workers', '3'], 2);
    const stall = run.at('stalled');
    const workers = [0, 1].map(() =>
      run.startWorker(coordinator, ['--job', fixtureJob('interrupted')], { LOCKSTEP_TEST_STALL: stall }),
    );
    // Two shards a step each: the fifth is of the third step.
    await stalledPid(stall);
    for (const worker of workers) worker.kill('SIGKILL');
    const { reason } = await coordinator.process.entry(
      ({ event, reason }) => event === 'waiting' && String(reason).startsWith('no worker is left'),
    );
    expect(reason).toBe('no worker is left: waiting for one to be ready, for at most 3 s');
    const { exitCode, stderr, entries } = await coordinator.process.ended;
    expect(exitCode).toBe(3);
    expect(stderr).toMatch(/^error: no worker has been ready for 3 s\n {2}\S.+\n$/);
    const { path } = entries.filter(({ event }) => event === 'checkpoint').at(-1) ?? {};
    expect(await readFile(join(String(path), 'run.json'), 'utf8')).toContain('"step":2');
    expect(await run.running()).toEqual([]);

    const resumed = await run.train([...job, ...saving, '--workers', '1', '--resume']);
    expect(resumed.report.resumedAtStep).toBe(2);
    expect(bitsOf(resumed)).toEqual(bitsOf(undisturbed));
    // Both runs together began what the steps need, and again what the two held when they were killed.
    expect(await run.begun()).toBeLessThanOrEqual(shardsOfRun + 4);
  });

  it.each(datasets)('on %s goes on, with the same bits, when one comes in time', async (data) => {
    const environment: Record<string, string> = data === 'arrays' ? {} : { LOCKSTEP_TEST_STREAM: 'yes' };
    const reference =
      data === 'arrays' ? undisturbed : await shared.train([...job, '--workers', '2'], environment);
    const waiting = [...job, '--wait-for-workers', '120'];
    const coordinator = await run.startCoordinator(waiting, 1, environment);
    const stall = run.at('stalled');
    const worker = ['--job', fixtureJob('interrupted')];
    const first = run.startWorker(coordinator, worker, { LOCKSTEP_TEST_STALL: stall });
    await stalledPid(stall);
    first.kill('SIGKILL');
    await coordinator.process.entry(({ event }) => event === 'waiting');
    run.startWorker(coordinator, worker);
    const trained = await coordinator.trained;
    expect(trained.exitCode).toBe(0);
    expect(bitsOf(trained)).toEqual(bitsOf(reference));
    await expectNotDoneAgain(run, trained);
    await expect.poll(() => run.running(), { timeout: 20_000 }).toEqual([]);
  });
});

it('local workers that die at every start are given up, with the reason', async () => {
  const stillborn = [fixtureJob('stillborn'), ...decided];
  const { exitCode, stderr, entries } = await run.start(['train', ...stillborn, '--workers', '1']).ended;
  expect(exitCode).toBe(3);
  expect(stderr).toMatch(
    /^error: no worker is left: worker process \d+ ended with SIGKILL, the 6th time in 10 minutes\n {2}\S.+\n$/,
  );
  const messages = entries.filter(({ event }) => event === 'warning').map(({ message }) => String(message));
  const delays = messages.map((message) => /another takes its place(.*)$/.exec(message)?.[1]);
  expect(delays).toEqual(['', ' in 0.5 s', ' in 1 s', ' in 2 s', ' in 4 s', undefined]);
  expect(await run.running()).toEqual([]);
});
