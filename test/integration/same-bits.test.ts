import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { prepareTensorflow, tensorflowFolder, tensorflowSupported } from '../fixtures/tensorflow.mjs';
import { planOf } from './exact-run.js';
import { bitsOf, fixtureJob, TestRun, type Trained } from './test-run.js';

// What test/fixtures/jobs/cnn.ts asks for. Its last batch of an epoch holds 2 of the 4 shards.
const full = { environment: {}, steps: 12, samples: 2 * (5 * 32 + 11), shards: 2 * (5 * 4 + 2) };
const tiny = {
  environment: { LOCKSTEP_TEST_SIZE: 'tiny' },
  steps: 20,
  samples: 2 * (9 * 8 + 3),
  shards: 2 * (9 * 4 + 2),
};

const cases = [
  { backend: 'cpu', ...tiny },
  { backend: 'wasm', ...full },
  { backend: 'onnx:cpu', ...full },
  ...(tensorflowSupported
    ? [{ backend: 'tensorflow', ...full, environment: { LOCKSTEP_TFJS_NODE: tensorflowFolder() } }]
    : []),
];

describe.each(cases)('the CNN on $backend', ({ backend, environment, steps, samples, shards }) => {
  let run: TestRun;
  /** By number of workers. */
  const trained = new Map<number, Trained>();
  let otherSeed: Trained;

  const train = (workers: number, seed: string) => {
    const options = ['--workers', String(workers), '--shards', '4', '--seed', seed, '--backend', backend];
    return run.train([fixtureJob('cnn'), ...options], environment as Record<string, string>);
  };

  beforeAll(async () => {
    if (backend === 'tensorflow') await prepareTensorflow();
    run = await TestRun.begin();
    // Two at a time: the machine may have two cores.
    const [four, one] = await Promise.all([train(4, '7'), train(1, '7')]);
    const [three, two] = await Promise.all([train(3, '7'), train(2, '7')]);
    [one, two, three, four].forEach((result, i) => void trained.set(i + 1, result));
    otherSeed = await train(1, '8');
  });
  afterAll(() => run.end());

  it('trains every sample of every epoch, the ragged last batch included', () => {
    const [first] = trained.values();
    expect(first.exitCode).toBe(0);
    expect(first.report).toMatchObject({ steps, epochs: 2, samplesSeen: samples, shards: 4 });
    expect(first.report.fingerprint?.backend).toBe(backend);
    const [atFirst, atLast] = first.report.history.loss;
    expect(atLast).toBeLessThan(atFirst);
  });

  it('has the same weights and state for 1, 2, 3 and 4 workers', () => {
    const [first, ...others] = [...trained.values()].map(bitsOf);
    expect(first.weightsSha256).toMatch(/^[0-9a-f]{64}$/);
    expect(first.stateSha256).not.toBe(first.weightsSha256);
    for (const other of others) expect(other).toEqual(first);
  });

  it('has other weights and another state for another seed', () => {
    const [first] = trained.values();
    expect(otherSeed.report.steps).toBe(steps);
    expect(otherSeed.report.weightsSha256).not.toBe(first.report.weightsSha256);
    expect(otherSeed.report.stateSha256).not.toBe(first.report.stateSha256);
  });

  it('has them too when SIGINT stopped it, and other workers went on, of which one was killed', async () => {
    const own = [fixtureJob('cnn'), '--backend', backend, '--checkpoint-dir', run.at('run')];
    const { process: held, trained: interrupted } = run.startTraining(
      ['train', ...own, '--workers', '2', '--shards', '4', '--seed', '7'],
      { ...environment, LOCKSTEP_TEST_HOLD: '8' } as Record<string, string>,
    );
    await held.entry(({ message }) => message === 'holding after step 8');
    for (const pid of await run.running()) process.kill(pid, 'SIGINT');
    expect((await interrupted).exitCode).toBe(130);

    const plan = await planOf(run, [{ step: 10, phase: 'computing', do: 'kill' }]);
    const options = ['--workers', '3', '--resume', '--faults', plan];
    const resumed = await run.train([...own, ...options], environment as Record<string, string>);
    expect(resumed.report).toMatchObject({ resumedAtStep: 8, injectedFaults: [{ tookEffect: true }] });
    expect(bitsOf(resumed)).toEqual(bitsOf(trained.get(1) as Trained));
  });

  it.each([1, 2, 3, 4])('is computed by all of %i processes in fair shares', (count) => {
    const { report } = trained.get(count) as Trained;
    expect(new Set(report.workers.map(({ pid }) => pid)).size).toBe(count);
    expect(report.shardsComputed).toBe(shards);
    expect(report.shardsRecomputed).toBe(0);
    const computed = report.workers.map((worker) => worker.shardsComputed);
    expect(computed.reduce((sum, one) => sum + one, 0)).toBe(shards);
    for (const one of computed) expect(Math.abs(one - shards / count)).toBeLessThanOrEqual(2);
  });

  it('leaves no process behind', async () => {
    expect(await run.running()).toEqual([]);
  });
});
