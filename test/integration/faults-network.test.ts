import { readFile, writeFile } from 'node:fs/promises';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { FaultPlan } from '../../chaos/plan.js';
import { expectExact, planOf } from './exact-run.js';
import { bitsOf, fixtureJob, TestRun, type Trained } from './test-run.js';

// test/fixtures/jobs/cnn.ts: 12 steps, of which two have 2 of the 4 shards.
const job = [fixtureJob('cnn'), '--shards', '4', '--seed', '7', '--backend', 'wasm'];
const stepShards = 2 * (5 * 4 + 2);

let referenceRun: TestRun;
let reference: Trained;
let run: TestRun;
beforeAll(async () => {
  referenceRun = await TestRun.begin();
  reference = await referenceRun.train([...job, '--workers', '2']);
});
afterAll(() => referenceRun.end());
beforeEach(async () => {
  run = await TestRun.begin();
});
afterEach(() => run.end());

const expectUnharmed = (trained: Trained, faults: number): Promise<void> =>
  expectExact(run, trained, { reference, faults, shards: stepShards });

async function trainUnder(faults: FaultPlan['faults']): Promise<Trained> {
  return run.train([...job, '--workers', '2', '--faults', await planOf(run, faults)]);
}

describe('a connection of a local worker', () => {
  it('cut in the middle of weights and in the middle of a partial costs no bit', async () => {
    const trained = await trainUnder([
      { step: 2, phase: 'receiving', do: 'cut' },
      { step: 6, phase: 'uploading', do: 'cut', how: 'end' },
    ]);
    await expectUnharmed(trained, 2);
    const [first, second] = trained.report.injectedFaults ?? [];
    expect(first.what).toMatch(/^cut \(reset\) with [1-9]\d* bytes under way$/);
    expect(second.what).toMatch(/^cut \(end\) with [1-9]\d* bytes under way$/);
    expect(second.outstandingShards).toBeGreaterThan(0);
    expect(trained.report.faults).toHaveLength(2);
  });

  it('that is slow, late, and slow again costs no bit and no worker', async () => {
    const trained = await trainUnder([
      { step: 1, phase: 'receiving', do: 'delay', ms: 150 },
      { step: 3, phase: 'uploading', do: 'throttle', ms: 400, bytesPerSecond: 50_000 },
      { step: 5, phase: 'receiving', do: 'throttle', ms: 400, bytesPerSecond: 50_000 },
      { step: 7, phase: 'uploading', do: 'delay', ms: 150 },
    ]);
    await expectUnharmed(trained, 4);
    expect(trained.report.faults).toEqual([]);
  });

  it('whose bytes come twice ends, and nothing is counted twice', async () => {
    const trained = await trainUnder([
      { step: 2, phase: 'uploading', do: 'duplicate' },
      { step: 6, phase: 'receiving', do: 'duplicate' },
    ]);
    await expectUnharmed(trained, 2);
    expect(trained.report.samplesSeen).toBe(2 * (5 * 32 + 11));
  });

  it('whose bytes are changed is never believed', async () => {
    const trained = await trainUnder([
      { step: 1, phase: 'uploading', do: 'corrupt' },
      { step: 4, phase: 'receiving', do: 'corrupt' },
      { step: 7, phase: 'uploading', do: 'corrupt', bits: 64 },
      { step: 9, phase: 'receiving', do: 'corrupt', bits: 64 },
    ]);
    await expectUnharmed(trained, 4);
    // Each of them ended a connection, with a reason of the protocol.
    expect(trained.report.faults.length).toBeGreaterThanOrEqual(1);
  });

  it('that falls silent holds nobody up: others compute what it held', async () => {
    const trained = await trainUnder([{ step: 3, phase: 'uploading', do: 'half-open' }]);
    await expectUnharmed(trained, 1);
  });
});

describe('workers that joined over TCP, through the proxy of a coordinator under a plan,', () => {
  it('are cut off, reset and slowed, and train to the same bits', async () => {
    const plan = await planOf(run, [
      { step: 2, phase: 'receiving', do: 'cut', worker: 0 },
      { step: 4, phase: 'uploading', do: 'delay', ms: 100, worker: 1 },
      { step: 6, phase: 'uploading', do: 'cut', worker: 1 },
    ]);
    const coordinator = await run.startCoordinator([...job, '--faults', plan], 3);
    for (let i = 0; i < 3; i++) run.startWorker(coordinator);
    const trained = await coordinator.trained;
    expect(trained.exitCode).toBe(0);
    expect(bitsOf(trained)).toEqual(bitsOf(reference));
    const { injectedFaults = [] } = trained.report;
    expect(injectedFaults.map((fault) => [fault.do, fault.tookEffect])).toEqual([
      ['cut', true],
      ['delay', true],
      ['cut', true],
    ]);
    // Who is connected hears the goodbye through the proxy; who was cut off last may still be trying to come back.
    const connected = trained.report.workers.filter(({ lost }) => lost === null).map(({ pid }) => pid);
    expect(connected.length).toBeGreaterThanOrEqual(1);
    await expect
      .poll(async () => (await run.running()).filter((pid) => connected.includes(pid)), { timeout: 10_000 })
      .toEqual([]);
  });
});

it('the first plan of docs/chaos.md does what it says', async () => {
  const text = await readFile(new URL('../../docs/chaos.md', import.meta.url), 'utf8');
  const [, plan] = /```json\n([\s\S]*?)```/.exec(text) ?? [];
  const file = run.at('plan.json');
  await writeFile(file, plan);
  // Worker 0 may have been killed by the first fault: then there is nobody to stop, and the report says so.
  const trained = await run.train([...job, '--workers', '2', '--faults', file]);
  expect(bitsOf(trained)).toEqual(bitsOf(reference));
  const injected = trained.report.injectedFaults ?? [];
  expect(injected.map((fault) => fault.do)).toEqual(['kill', 'cut', 'corrupt', 'stop']);
  expect(injected.slice(0, 3).every(({ tookEffect }) => tookEffect)).toBe(true);
});
