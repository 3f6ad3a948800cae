import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { expectNotDoneAgain } from './exact-run.js';
import { bitsOf, fixtureJob, stalledPid, TestRun, type Trained } from './test-run.js';

const common = ['--shards', '4', '--seed', '7', '--backend', 'wasm'];
const cnn = [fixtureJob('cnn'), ...common];
/** Its workers need the job's code, which never travels. */
const interrupted = [fixtureJob('interrupted'), ...common];
const ownCopy = ['--job', fixtureJob('interrupted')];
const stepShards = 2 * (5 * 4 + 2);

let run: TestRun;
beforeEach(async () => {
  run = await TestRun.begin();
});
afterEach(() => run.end());

describe('workers that joined over the network', () => {
  let local: TestRun;
  let reference: Trained;
  let interruptedReference: Trained;
  beforeAll(async () => {
    local = await TestRun.begin();
    const two = ['--workers', '2'];
    reference = await local.train([...cnn, ...two]);
    interruptedReference = await local.train([...interrupted, ...two]);
  });
  afterAll(() => local.end());

  it('train to the bits of local workers, in fair shares, and end with the run', async () => {
    const coordinator = await run.startCoordinator(cnn, 3);
    const workers = [1, 2, 3].map(() => run.startWorker(coordinator));
    const trained = await coordinator.trained;
    expect(trained.exitCode).toBe(0);
    expect(bitsOf(trained)).toEqual(bitsOf(reference));
    const { report } = trained;
    expect(report.shardsComputed).toBe(stepShards);
    expect(new Set(report.workers.map(({ pid }) => pid)).size).toBe(3);
    for (const { shardsComputed } of report.workers) {
      expect(Math.abs(shardsComputed - stepShards / 3)).toBeLessThanOrEqual(2);
    }
    for (const worker of workers) expect(await worker.ended).toMatchObject({ exitCode: 0, stderr: '' });
    expect(await run.running()).toEqual([]);
  });

  it('may join in the middle of a step and finish it when the first worker is killed', async () => {
    const coordinator = await run.startCoordinator(interrupted, 1);
    const stall = run.at('stalled');
    const first = run.startWorker(coordinator, ownCopy, { LOCKSTEP_TEST_STALL: stall });
    const killed = await stalledPid(stall);
    run.startWorker(coordinator, ownCopy);
    await coordinator.process.entry(
      ({ event, worker }) => event === 'worker-joined' && (worker as { pid: number }).pid !== killed,
    );
    first.kill('SIGKILL');
    const trained = await coordinator.trained;
    expect(trained.exitCode).toBe(0);
    expect(bitsOf(trained)).toEqual(bitsOf(interruptedReference));
    const [gone, stayed] = trained.report.workers;
    // The first worker's four shards of the first step were done, and none or some of the second step's.
    expect(gone).toMatchObject({ pid: killed, lost: expect.any(String) });
    expect(gone.shardsComputed).toBeGreaterThanOrEqual(4);
    expect(gone.shardsComputed).toBeLessThan(8);
    expect(stayed.lost).toBeNull();
    expect(trained.report.shardsRecomputed).toBe(8 - gone.shardsComputed);
    await expectNotDoneAgain(run, trained);
  });

  it('may leave when asked to by a signal, and cost no bit', async () => {
    const coordinator = await run.startCoordinator(interrupted, 2);
    const slow = { LOCKSTEP_TEST_JITTER: '60' };
    const [leaving, staying] = [1, 2].map(() => run.startWorker(coordinator, ownCopy, slow));
    await coordinator.process.entry(({ event }) => event === 'epoch-end');
    leaving.kill('SIGTERM');
    expect((await leaving.ended).exitCode).toBe(143);
    const trained = await coordinator.trained;
    expect(trained.exitCode).toBe(0);
    expect(bitsOf(trained)).toEqual(bitsOf(interruptedReference));
    expect(trained.report.workers.filter(({ lost }) => lost !== null)).toHaveLength(1);
    expect((await staying.ended).exitCode).toBe(0);
  });
});
