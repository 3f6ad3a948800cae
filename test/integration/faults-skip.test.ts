import { afterEach, beforeEach, expect, it } from 'vitest';
import { expectExact, planOf } from './exact-run.js';
import { fixtureJob, TestRun } from './test-run.js';

// The third step of each epoch of six is not finite.
const jobOf = (name: string): string[] => [
  fixtureJob(name),
  ...['--shards', '4', '--seed', '7', '--backend', 'wasm'],
];
const shards = 2 * (5 * 4 + 2);

let run: TestRun;
beforeEach(async () => {
  run = await TestRun.begin();
});
afterEach(() => run.end());

it.each([
  ['arrays', 'spoilt'],
  ['a stream', 'spoilt-stream'],
])(
  'steps of %s that are not finite are skipped to the same bits when a worker is killed in one of them',
  async (_data, name) => {
    const skipping = [...jobOf(name), '--on-non-finite', 'skip'];
    const reference = await run.train([...skipping, '--workers', '1']);
    expect(reference.report).toMatchObject({ steps: 12, skippedSteps: [3, 9] });
    // Both strike at a byte of the connection: a worker told to stop at a shard may have begun its last one of the step.
    const plan = [
      { step: 2, phase: 'uploading' as const, do: 'kill' as const },
      { step: 8, phase: 'receiving' as const, do: 'kill' as const },
    ];
    const trained = await run.train([...skipping, '--workers', '3', '--faults', await planOf(run, plan)]);
    expect(trained.report.skippedSteps).toEqual([3, 9]);
    await expectExact(run, trained, { reference, faults: 2, shards });
    // What is not finite is computed by a second worker before it is believed, where there is one.
    expect(trained.report.shardsAudited).toBeGreaterThanOrEqual(1);
    expect(trained.report.injectedFaults?.map(({ step }) => step)).toEqual([2, 8]);
    expect(trained.report.excluded).toEqual([]);
  },
);

it('without that policy the run stops, and says at which step and why', async () => {
  const { exitCode, stderr } = await run.start(['train', ...jobOf('spoilt'), '--workers', '2']).ended;
  expect(exitCode).toBe(1);
  expect(stderr).toMatch(/^error: .*step 3.*\n {2}\S.+\n$/);
  expect(await run.running()).toEqual([]);
});
