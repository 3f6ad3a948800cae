import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { expectNotDoneAgain } from './exact-run.js';
import { bitsOf, fixtureJob, stalledPid, TestRun, type Trained } from './test-run.js';

const job = fixtureJob('interrupted');
const options = [job, '--shards', '4', '--seed', '7', '--backend', 'wasm'];
const stepShards = 2 * (5 * 4 + 2);

let reference: Trained;
let referenceRun: TestRun;
let run: TestRun;

beforeAll(async () => {
  referenceRun = await TestRun.begin();
  reference = await referenceRun.train([...options, '--workers', '2']);
  expect(reference.report).toMatchObject({ steps: 12, shardsComputed: stepShards, shardsRecomputed: 0 });
});
afterAll(() => referenceRun.end());
beforeEach(async () => {
  run = await TestRun.begin();
});
afterEach(() => run.end());

async function trainWithKill(workers: number): Promise<{ trained: Trained; killed: number }> {
  const stall = run.at('stalled');
  const training = run.startTraining(['train', ...options, '--workers', String(workers)], {
    LOCKSTEP_TEST_STALL: stall,
  });
  const killed = await stalledPid(stall);
  process.kill(killed, 'SIGKILL');
  return { trained: await training.trained, killed };
}

describe('a worker killed in the middle of a step', () => {
  it('costs its own shards alone, and no bit', async () => {
    const { trained, killed } = await trainWithKill(2);
    const { report, entries } = trained;
    expect(bitsOf(trained)).toEqual(bitsOf(reference));
    // It held at most half of the four shards of the step.
    expect(report.shardsRecomputed).toBeGreaterThanOrEqual(1);
    expect(report.shardsRecomputed).toBeLessThanOrEqual(2);
    await expectNotDoneAgain(run, trained);
    const lost = report.workers.filter((worker) => worker.lost !== null);
    expect(lost.map(({ pid }) => pid)).toEqual([killed]);
    expect(report.faults).toHaveLength(1);
    expect(entries.filter(({ event }) => event === 'worker-lost')).toHaveLength(1);
    expect(await run.running()).toEqual([]);
  });

  it('is replaced when it was the only one, and the bits are the same', async () => {
    const { trained, killed } = await trainWithKill(1);
    const { report } = trained;
    expect(bitsOf(trained)).toEqual(bitsOf(reference));
    expect(report.shardsRecomputed).toBeGreaterThanOrEqual(1);
    expect(report.shardsRecomputed).toBeLessThanOrEqual(4);
    await expectNotDoneAgain(run, trained);
    const [first, second] = report.workers;
    expect(report.workers).toHaveLength(2);
    expect(first).toMatchObject({ pid: killed, lost: expect.any(String) });
    expect(second.lost).toBeNull();
    expect(second.shardsComputed).toBeGreaterThan(0);
    expect(await run.running()).toEqual([]);
  });
});

it('partials that arrive in another order give the same bits', async () => {
  const jitter = { LOCKSTEP_TEST_JITTER: '30' };
  const trained = await run.train([...options, '--workers', '4'], jitter);
  expect(bitsOf(trained)).toEqual(bitsOf(reference));
});
