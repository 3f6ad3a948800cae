import { afterEach, beforeEach, expect, it } from 'vitest';
import { bitsOf, fixtureJob, TestRun } from './test-run.js';

const job = [fixtureJob('interrupted'), '--shards', '4', '--seed', '7', '--backend', 'wasm', '--epochs', '4'];
const ownCopy = ['--job', fixtureJob('interrupted')];
const shards = 4 * (5 * 4 + 2);

let run: TestRun;
beforeEach(async () => {
  run = await TestRun.begin();
});
afterEach(() => run.end());

it('a worker that joins and leaves all the time costs no bit, and the run goes on', async () => {
  const reference = await run.train([...job, '--workers', '1']);
  const coordinator = await run.startCoordinator(job, 1);
  const slow = { LOCKSTEP_TEST_JITTER: '500' };
  const staying = run.startWorker(coordinator, ownCopy, slow);
  await coordinator.process.entry(({ event }) => event === 'worker-joined');
  // By turns it leaves politely and is killed, each time as soon as it has joined or a little later.
  const flaps = 6;
  for (let i = 0; i < flaps; i++) {
    const worker = run.startWorker(coordinator, ownCopy, slow);
    await coordinator.process.entry(
      ({ event, worker: row }) => event === 'worker-joined' && (row as { pid: number }).pid === worker.pid,
    );
    await new Promise((resolve) => setTimeout(resolve, 100 * i));
    worker.kill(i % 2 === 0 ? 'SIGKILL' : 'SIGTERM');
    expect((await worker.ended).exitCode).toBe(i % 2 === 0 ? null : 143);
  }
  const trained = await coordinator.trained;
  expect(trained.exitCode).toBe(0);
  expect(bitsOf(trained)).toEqual(bitsOf(reference));
  const { workers, shardsComputed, shardsRecomputed, shardsDuplicated } = trained.report;
  expect(workers).toHaveLength(1 + flaps);
  expect(workers.filter(({ lost }) => lost !== null)).toHaveLength(flaps);
  // Some of them computed before they left.
  expect(workers.slice(1).some((worker) => worker.shardsComputed > 0)).toBe(true);
  expect(shardsComputed).toBeLessThanOrEqual(shards + shardsRecomputed + shardsDuplicated);
  expect(await staying.ended).toMatchObject({ exitCode: 0 });
  expect(await run.running()).toEqual([]);
});
