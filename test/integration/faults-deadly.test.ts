import { readdir } from 'node:fs/promises';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { bitsOf, fixtureJob, TestRun } from './test-run.js';

let run: TestRun;
beforeEach(async () => {
  run = await TestRun.begin();
});
afterEach(() => run.end());

it.each([
  ['arrays', {}],
  ['a stream', { LOCKSTEP_TEST_STREAM: 'yes' }],
])(
  'a shard of %s that ends every worker ends the run, and what was committed goes on once the cause is gone',
  async (_what, environment) => {
    const folder = run.at('run');
    const options = [fixtureJob('interrupted'), '--shards', '4', '--seed', '7', '--backend', 'wasm'];
    const args = [...options, '--workers', '2', '--checkpoint-dir', folder];
    const undisturbed = await run.train([...options, '--workers', '2'], environment);
    const deadly = { ...environment, LOCKSTEP_TEST_DEADLY: run.at('deadly') };
    const { exitCode, stderr } = await run.start(['train', ...args], deadly).ended;
    expect(stderr).toMatch(
      /^error: shard \d of .* was held by 5 workers when they were lost \(rows \d+ to \d+ of batch 6 of epoch 1; of the dataset: \d+, .*\)\n {2}\S.+\n$/,
    );
    expect(exitCode).toBe(1);
    expect(await run.running()).toEqual([]);
    const kept = (await readdir(folder)).filter((name) => name.includes('checkpoint-')).sort();
    expect(kept.at(-1)).toMatch(/^checkpoint-\d+-step-0000000005$/);

    const resumed = await run.train([...args, '--resume'], environment);
    expect(resumed.report.resumedAtStep).toBe(5);
    expect(bitsOf(resumed)).toEqual(bitsOf(undisturbed));
  },
);
