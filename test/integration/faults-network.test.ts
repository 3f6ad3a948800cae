import { readFile, writeFile } from 'node:fs/promises';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { FaultPlan } from '../../chaos/plan.js';
import { datasets, decidedJob, expectExact, planOf } from './exact-run.js';
import { bitsOf, TestRun, type Trained } from './test-run.js';

describe.each(datasets)('training on %s, a connection of a local worker', (data, name) => {
  const job = decidedJob(name);
  let shared: TestRun;
  let reference: Trained;
  let run: TestRun;
  beforeAll(async () => {
    shared = await TestRun.begin();
    reference = await shared.train([...job, '--workers', '2']);
  });
  afterAll(() => shared.end());
  beforeEach(async () => {
    run = await TestRun.begin();
  });
  afterEach(() => run.end());

  async function trainUnder(faults: NonNullable<FaultPlan['faults']>): Promise<Trained> {
    const trained = await run.train([...job, '--workers', '2', '--faults', await planOf(run, faults)]);
    await expectExact(run, trained, { reference, faults: faults.length });
    return trained;
  }

  it('that is cut in the middle of weights and of a partial, or brings bytes twice, costs no bit', async () => {
    const { report } = await trainUnder([
      { step: 1, phase: 'receiving', do: 'cut' },
      { step: 4, phase: 'uploading', do: 'cut', how: 'end' },
      { step: 7, phase: 'uploading', do: 'duplicate' },
      { step: 9, phase: 'receiving', do: 'duplicate' },
    ]);
    const [first, second] = report.injectedFaults ?? [];
    expect(first.what).toMatch(/^cut \(reset\) with [1-9]\d* bytes under way$/);
    expect(second.what).toMatch(/^cut \(end\) with [1-9]\d* bytes under way$/);
    expect(second.outstandingShards).toBeGreaterThan(0);
    expect(report.faults.length).toBeGreaterThanOrEqual(2);
    // Nothing was counted twice.
    expect(report.samplesSeen).toBe(2 * (5 * 32 + 11));
  });

  it('that is late, slow, and then silent costs no bit: others compute what it held', async () => {
    const { report } = await trainUnder([
      { step: 1, phase: 'receiving', do: 'delay', ms: 150 },
      { step: 2, phase: 'uploading', do: 'throttle', ms: 400, bytesPerSecond: 50_000 },
      { step: 4, phase: 'receiving', do: 'throttle', ms: 400, bytesPerSecond: 50_000 },
      { step: 6, phase: 'uploading', do: 'delay', ms: 150 },
      { step: 8, phase: 'uploading', do: 'half-open' },
    ]);
    // Nobody was lost for being slow, and the silent one not within the run: its silence is shorter than 30 s.
    expect(report.faults).toEqual([]);
    expect(report.shardsDuplicated).toBeGreaterThanOrEqual(1);
  });

  it('whose bytes are changed is never believed', async () => {
    const { report } = await trainUnder([
      { step: 1, phase: 'uploading', do: 'corrupt' },
      { step: 4, phase: 'receiving', do: 'corrupt' },
      { step: 7, phase: 'uploading', do: 'corrupt', bits: 64 },
      { step: 9, phase: 'receiving', do: 'corrupt', bits: 64 },
    ]);
    // Each of them ended a connection, with a reason of the protocol.
    expect(report.faults.length).toBeGreaterThanOrEqual(1);
  });

  if (data !== 'arrays')
    it('over TCP, through the proxy of a coordinator under a plan, may be cut, reset and slowed', async () => {
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

  if (data === 'arrays')
    it('fares under the first plan of docs/chaos.md as it says', async () => {
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
});
