import { afterEach, beforeEach, expect, it } from 'vitest';
import { runStatus } from '../../shared/protocol/observing.js';
import { readToken } from '../../shared/token.js';
import { datasets, decidedJob, expectNotDoneAgain } from './exact-run.js';
import { RawPeer } from './raw-peer.js';
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

/** Waits until the worker with this pid has computed a shard of the run. */
async function untilComputed(coordinator: { url: string; token: string }, pid: number): Promise<void> {
  const token = await readToken({ file: coordinator.token, environment: {}, warn: () => {} });
  const observer = await RawPeer.authenticated(coordinator.url, token, 'observer');
  const shardsComputed = (): number => {
    observer.say({ type: 'status' });
    const { status } = (observer.heard.at(-1) ?? {}) as { status?: object };
    const { workers } = status === undefined ? { workers: [] } : runStatus.parse(status);
    return workers.find((worker) => worker.pid === pid)?.shardsComputed ?? 0;
  };
  await expect.poll(shardsComputed, { timeout: 60_000, interval: 200 }).toBeGreaterThan(0);
  observer.end();
}

it.each(datasets)('on %s workers that join and leave all the time cost no bit', async (data) => {
  const environment: Record<string, string> = data === 'arrays' ? {} : { LOCKSTEP_TEST_STREAM: 'yes' };
  const reference = await undisturbed.train([...job, '--workers', '1'], environment);
  const coordinator = await run.startCoordinator(job, 1, { ...environment, LOCKSTEP_TEST_HOLD: '9' });
  const slow = { LOCKSTEP_TEST_JITTER: '500' };
  const staying = run.startWorker(coordinator, ownCopy, slow);
  await coordinator.process.entry(({ event }) => event === 'worker-joined');
  const comes = async () => {
    const worker = run.startWorker(coordinator, ownCopy, slow);
    await coordinator.process.entry(
      ({ event, worker: row }) => event === 'worker-joined' && (row as { pid: number }).pid === worker.pid,
    );
    return worker;
  };
  // As soon as it has joined, or a little later, whatever the run is at.
  const killed = await comes();
  killed.kill('SIGKILL');
  expect((await killed.ended).exitCode).toBe(null);
  const polite = await comes();
  await new Promise((resolve) => setTimeout(resolve, 500));
  polite.kill('SIGTERM');
  expect((await polite.ended).exitCode).toBe(143);
  // In the middle of its work: the second half of the run waits for it.
  const worked = await comes();
  await coordinator.process.entry(({ message }) => message === 'holding after step 9');
  coordinator.process.kill('SIGUSR2');
  await untilComputed(coordinator, worked.pid);
  worked.kill('SIGKILL');
  expect((await worked.ended).exitCode).toBe(null);

  const trained = await coordinator.trained;
  expect(trained.exitCode).toBe(0);
  expect(bitsOf(trained)).toEqual(bitsOf(reference));
  const { workers } = trained.report;
  expect(workers).toHaveLength(4);
  expect(workers.filter(({ lost }) => lost !== null)).toHaveLength(3);
  expect(workers.find(({ pid }) => pid === worked.pid)?.shardsComputed).toBeGreaterThan(0);
  await expectNotDoneAgain(run, trained, shards);
  expect(await staying.ended).toMatchObject({ exitCode: 0 });
  expect(await run.running()).toEqual([]);
});
