import { afterEach, beforeEach, expect, it } from 'vitest';
import { datasets, decidedJob, expectNotDoneAgain } from './exact-run.js';
import { bitsOf, fixtureJob, TestRun } from './test-run.js';

const job = [...decidedJob('interrupted'), '--epochs', '3'];
const ownCopy = ['--job', fixtureJob('interrupted')];
const shards = 3 * (5 * 4 + 2);

let run: TestRun;
let undisturbed: TestRun;
beforeEach(async () => {
  run = await TestRun.begin();
  undisturbed = await TestRun.begin();
});
afterEach(async () => {
  await run.end();
  await undisturbed.end();
});

it.each(datasets)('on %s workers that join and leave all the time cost no bit', async (data) => {
  const environment: Record<string, string> = data === 'arrays' ? {} : { LOCKSTEP_TEST_STREAM: 'yes' };
  const reference = await undisturbed.train([...job, '--workers', '1'], environment);
  const coordinator = await run.startCoordinator(job, 1, environment);
  const slow = { LOCKSTEP_TEST_JITTER: '500' };
  const staying = run.startWorker(coordinator, ownCopy, slow);
  await coordinator.process.entry(({ event }) => event === 'worker-joined');
  // By turns it is killed and leaves politely, each time as soon as it has joined or a little later.
  const flaps = 3;
  for (let i = 0; i < flaps; i++) {
    const worker = run.startWorker(coordinator, ownCopy, slow);
    await coordinator.process.entry(
      ({ event, worker: row }) => event === 'worker-joined' && (row as { pid: number }).pid === worker.pid,
    );
    await new Promise((resolve) => setTimeout(resolve, 500 * i));
    worker.kill(i % 2 === 0 ? 'SIGKILL' : 'SIGTERM');
    expect((await worker.ended).exitCode).toBe(i % 2 === 0 ? null : 143);
  }
  const trained = await coordinator.trained;
  expect(trained.exitCode).toBe(0);
  expect(bitsOf(trained)).toEqual(bitsOf(reference));
  const { workers } = trained.report;
  expect(workers).toHaveLength(1 + flaps);
  expect(workers.filter(({ lost }) => lost !== null)).toHaveLength(flaps);
  // Some of them computed before they left.
  expect(workers.slice(1).some((worker) => worker.shardsComputed > 0)).toBe(true);
  await expectNotDoneAgain(run, trained, shards);
  expect(await staying.ended).toMatchObject({ exitCode: 0 });
  expect(await run.running()).toEqual([]);
});
