import { mkdtempSync, readdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { expectNotDoneAgain } from './exact-run.js';
import { Relay } from './relay.js';
import { bitsOf, fixtureJob, stalledPid, TestRun, type Trained } from './test-run.js';

const job = [fixtureJob('interrupted'), '--shards', '4', '--seed', '7', '--backend', 'wasm'];
const ownCopy = ['--job', fixtureJob('interrupted')];

let run: TestRun;
let local: TestRun;
let reference: Trained;
const relays: Relay[] = [];

beforeAll(async () => {
  local = await TestRun.begin();
  reference = await local.train([...job, '--workers', '2']);
});
afterAll(() => local.end());
beforeEach(async () => {
  run = await TestRun.begin();
});
afterEach(async () => {
  for (const relay of relays.splice(0)) relay.close();
  await run.end();
});

async function relayTo(coordinator: { url: string; token: string }) {
  const relay = await Relay.to(coordinator.url);
  relays.push(relay);
  return { relay, door: { ...coordinator, url: relay.url } };
}

describe('a network worker whose connection is cut', () => {
  it('joins again by itself, and the run ends with the same bits', async () => {
    const coordinator = await run.startCoordinator(job, 2);
    const { relay, door } = await relayTo(coordinator);
    const slow = { LOCKSTEP_TEST_JITTER: '100' };
    const cut = [1, 2].map(() => run.startWorker(door, ownCopy, slow));
    for (const event of ['epoch-begin', 'epoch-end']) {
      await coordinator.process.entry((entry) => entry.event === event);
      relay.cut();
    }
    const trained = await coordinator.trained;
    expect(trained.exitCode).toBe(0);
    expect(bitsOf(trained)).toEqual(bitsOf(reference));
    const { workers } = trained.report;
    // The faults took effect: the same two processes came back as other workers, and computed again.
    expect(new Set(workers.map(({ pid }) => pid)).size).toBe(2);
    expect(workers.filter(({ lost }) => lost !== null).length).toBeGreaterThanOrEqual(2);
    const returned = workers.filter(({ pid, worker }) =>
      workers.some((w) => w.pid === pid && w.worker < worker),
    );
    expect(returned.some((worker) => worker.shardsComputed > 0)).toBe(true);
    await expectNotDoneAgain(run, trained);
    for (const worker of cut) expect((await worker.ended).exitCode).toBe(0);
    expect(await run.running()).toEqual([]);
  });

  it('notices a connection that is half-open, and joins again', async () => {
    const coordinator = await run.startCoordinator(job, 1);
    const { relay, door } = await relayTo(coordinator);
    const worker = run.startWorker(door, [...ownCopy, '--silence-seconds', '3'], {
      LOCKSTEP_TEST_JITTER: '40',
    });
    await coordinator.process.entry(({ event }) => event === 'epoch-begin');
    relay.freeze();
    const trained = await coordinator.trained;
    expect(bitsOf(trained)).toEqual(bitsOf(reference));
    await expectNotDoneAgain(run, trained);
    expect(relay.connections).toBeGreaterThanOrEqual(2);
    expect((await worker.ended).exitCode).toBe(0);
  });
});

describe('a coordinator that is killed', () => {
  it('gets its running workers back when it is started again with --resume, and the bits are the same', async () => {
    const folder = ['--checkpoint-dir', run.at('run')];
    const first = await run.startCoordinator([...job, ...folder], 2);
    const slow = { LOCKSTEP_TEST_JITTER: '60' };
    const workers = [1, 2].map(() => run.startWorker(first, ownCopy, slow));
    await first.process.entry(({ event }) => event === 'checkpoint');
    first.process.kill('SIGKILL');
    await first.process.ended;
    const again = await run.startCoordinator([...job, ...folder, '--resume'], 2, {}, first);
    const trained = await again.trained;
    expect(trained.exitCode).toBe(0);
    expect(trained.report.resumedAtStep).toBeGreaterThan(0);
    expect(bitsOf(trained)).toEqual(bitsOf(reference));
    // Nobody started a worker: those of the first coordinator came.
    expect(trained.report.workers).toHaveLength(2);
    for (const worker of workers) expect(await worker.ended).toMatchObject({ exitCode: 0, stderr: '' });
    expect(await run.running()).toEqual([]);
  });

  it('is given up by its workers after as long as they were told', async () => {
    const coordinator = await run.startCoordinator(job, 2);
    const workers = [0, 2].map((seconds) =>
      run.startWorker(coordinator, [...ownCopy, '--rejoin-seconds', String(seconds)], {
        LOCKSTEP_TEST_JITTER: '1000',
      }),
    );
    await coordinator.process.entry(({ event }) => event === 'epoch-begin');
    coordinator.process.kill('SIGKILL');
    for (const worker of workers) {
      const { exitCode, stderr } = await worker.ended;
      expect(exitCode).toBe(1);
      expect(stderr).toMatch(/^error: .+\n {2}\S.+\n$/);
    }
    expect((await workers[1].ended).stderr).toContain('for 2 s');
    expect(await run.running()).toEqual([]);
  });
});

describe('local workers whose coordinator is killed', () => {
  it('leave no process and no socket behind, though one never ends what it computes', async () => {
    // A folder of its own, so that other runs' sockets are not counted. Socket paths must be short.
    const scratch = mkdtempSync(join(tmpdir(), 'ls-'));
    const stall = run.at('stalled');
    const environment = { LOCKSTEP_TEST_STALL: stall, LOCKSTEP_TEST_ENDLESS: '1', TMPDIR: scratch };
    const training = run.startTraining(['train', ...job, '--workers', '2'], environment);
    await stalledPid(stall);
    expect(readdirSync(scratch).filter((name) => name.startsWith('lockstep-'))).toHaveLength(1);
    training.process.kill('SIGKILL');
    await expect.poll(() => run.running(), { timeout: 10_000 }).toEqual([]);
    expect(readdirSync(scratch).filter((name) => name.startsWith('lockstep-'))).toEqual([]);
  });
});
