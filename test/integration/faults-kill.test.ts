import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { datasets, decidedJob, expectExact, planOf, shardsOfRun } from './exact-run.js';
import { bitsOf, TestRun, type Trained } from './test-run.js';

/** By job: each kind of program is killed on one kind of data. */
const backends = { cnn: 'wasm', dry: 'onnx' } as const;

describe.each(datasets)('training on %s', (_data, name) => {
  const job = decidedJob(name, backends[name]);
  let shared: TestRun;
  let reference: Trained;
  let run: TestRun;
  beforeAll(async () => {
    shared = await TestRun.begin();
    reference = await shared.train([...job, '--workers', '1']);
    expect(reference.report).toMatchObject({ steps: 12, shardsComputed: shardsOfRun });
  });
  afterAll(() => shared.end());
  beforeEach(async () => {
    run = await TestRun.begin();
  });
  afterEach(() => run.end());

  it('loses no bit to workers killed idle, receiving weights, computing, and with half a partial sent', async () => {
    const phases = ['idle', 'receiving', 'computing', 'uploading'] as const;
    const plan = phases.map((phase, i) => ({ step: 1 + 3 * i, phase, do: 'kill' as const }));
    const trained = await run.train([...job, '--workers', '2', '--faults', await planOf(run, plan)]);
    await expectExact(run, trained, { reference, faults: 4 });
    const { faults, workers, injectedFaults = [] } = trained.report;
    expect(injectedFaults.map(({ phase }) => phase)).toEqual(phases);
    // The last two held a shard for certain: its order had come, or its partial was under way.
    for (const { outstandingShards } of injectedFaults.slice(2)) expect(outstandingShards).toBeGreaterThan(0);
    const killed = injectedFaults.map(({ pid }) => pid);
    const lost = workers.flatMap((worker) => (worker.lost === null ? [] : [worker.pid]));
    expect(new Set(lost)).toEqual(new Set(killed));
    expect(faults).toHaveLength(4);
  });

  it('loses no bit to one worker that hangs and another that is stopped, both to the end of the run', async () => {
    const plan = [
      { step: 3, do: 'hang' as const, worker: 0 },
      { step: 7, do: 'stop' as const, phase: 'dispatch' as const, worker: 1, ms: 600_000 },
    ];
    const trained = await run.train([...job, '--workers', '3', '--faults', await planOf(run, plan)]);
    await expectExact(run, trained, { reference, faults: 2 });
    // Both are overtaken, and neither is sent away.
    expect(trained.report.shardsDuplicated).toBeGreaterThanOrEqual(2);
    expect(trained.report).toMatchObject({ shardsRecomputed: 0, disagreements: 0, excluded: [], faults: [] });
  });

  it('goes on in the middle of an epoch when its coordinator was killed', async () => {
    const folder = run.at('run');
    const saving = [...job, '--workers', '2', '--checkpoint-dir', folder];
    const { process } = run.startTraining(['train', ...saving], { LOCKSTEP_TEST_HOLD: '7,9' });
    // One checkpoint is written at a time: the one of step 8 is due only if that of step 6 is complete.
    await process.entry(({ event, step }) => event === 'checkpoint' && step === 6);
    await process.entry(({ message }) => message === 'holding after step 7');
    process.kill('SIGUSR2');
    await process.entry(({ event, step }) => event === 'checkpoint' && step === 8);
    await process.entry(({ message }) => message === 'holding after step 9');
    process.kill('SIGKILL');
    expect((await process.ended).exitCode).toBeNull();
    await expect.poll(() => run.running(), { timeout: 10_000 }).toEqual([]);

    const resumed = await run.train([...saving, '--resume']);
    expect(bitsOf(resumed)).toEqual(bitsOf(reference));
    // Two batches into the second epoch: three whole ones and the ragged one are left.
    expect(resumed.report).toMatchObject({ resumedAtStep: 8, shardsComputed: 3 * 4 + 2 });
  });
});
