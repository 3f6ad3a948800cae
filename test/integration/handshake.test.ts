import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { bitsOf, fixtureJob, TestRun, type Trained } from './test-run.js';

const job = [fixtureJob('interrupted'), '--shards', '4', '--seed', '7', '--backend', 'wasm'];
const ownCopy = ['--job', fixtureJob('interrupted')];
/** Same file, same fingerprint, other bits: as a defective device. */
const skewed = { LOCKSTEP_TEST_SKEW: '1' };
/** Slow enough for another worker to start meanwhile. */
const slow = { LOCKSTEP_TEST_JITTER: '300' };

let run: TestRun;
let local: TestRun;
let reference: Trained;

beforeAll(async () => {
  local = await TestRun.begin();
  reference = await local.train([...job, '--workers', '2']);
});
afterAll(() => local.end());
beforeEach(async () => {
  run = await TestRun.begin();
});
afterEach(() => run.end());

/** A run that one worker computes, and the first of its kind; another asks to take part. */
async function askToJoin(
  args: readonly string[],
  environment: Record<string, string>,
  options: string[] = [],
) {
  const coordinator = await run.startCoordinator([...job, ...options], 1);
  run.startWorker(coordinator, ownCopy, slow);
  await coordinator.process.entry(({ event }) => event === 'worker-joined');
  const asking = run.startWorker(coordinator, [...ownCopy, ...args], environment);
  return { trained: await coordinator.trained, asked: await asking.ended };
}

describe('a worker that would give other bits', () => {
  it.each([
    ['another backend', ['--backend', 'cpu'], {}, 'backend is cpu, not wasm'],
    ['a canary shard with other bits', [], skewed, 'its canary shard has other bits'],
  ])('is refused for %s, and the run keeps its own', async (_what, args, environment, why) => {
    const { trained, asked } = await askToJoin(args, environment);
    expect(asked.exitCode).toBe(1);
    expect(asked.stderr).toContain(why);
    expect(bitsOf(trained)).toEqual(bitsOf(reference));
    expect(trained.report).toMatchObject({ bitReproducible: true, mixed: [] });
    expect(trained.report.workers).toHaveLength(1);
  });

  it('is admitted with --allow-mixed, and the run is labelled wherever it is told of', async () => {
    const { trained, asked } = await askToJoin([], skewed, ['--allow-mixed']);
    expect(asked.exitCode).toBe(0);
    expect(trained.exitCode).toBe(0);
    expect(trained.report.workers.filter(({ shardsComputed }) => shardsComputed > 0)).toHaveLength(2);
    expect(trained.report.bitReproducible).toBe(false);
    expect(trained.report.mixed).toEqual([expect.stringContaining('canary shard has other bits')]);
    expect(trained.report.weightsSha256).not.toBe(reference.report.weightsSha256);
    expect(trained.entries.find(({ event }) => event === 'end')).toMatchObject({
      mixed: trained.report.mixed,
    });
    expect(trained.stdout).toContain('cannot be reproduced bit by bit');
  });
});

describe('a run that goes on', () => {
  it('does not on workers that would give other bits, unless that is allowed; then the label stays', async () => {
    const folder = ['--checkpoint-dir', run.at('run'), '--workers', '1'];
    const begun = await run.train([...job, ...folder, '--epochs', '1'], skewed);
    expect(begun.report.bitReproducible).toBe(true);
    const refused = await run.start(['train', ...job, ...folder, '--resume']).ended;
    expect(refused.exitCode).toBe(1);
    expect(refused.stderr).toMatch(/cannot go on with the run: its canary shard has other bits/);
    expect(refused.stderr).toContain('--allow-mixed');
    const mixed = await run.train([...job, ...folder, '--resume', '--allow-mixed']);
    expect(mixed.report.bitReproducible).toBe(false);
    // Workers like those that began it: the label stays, as what the others computed does.
    const again = await run.train([...job, ...folder, '--resume', '--epochs', '3'], skewed);
    expect(again.report.resumedAtStep).toBeGreaterThan(0);
    expect(again.report).toMatchObject({ bitReproducible: false, mixed: mixed.report.mixed });
  });

  it('goes on with the bits of one that was not interrupted where the workers are alike', async () => {
    const folder = ['--checkpoint-dir', run.at('run')];
    await run.train([...job, ...folder, '--workers', '1', '--epochs', '1']);
    const resumed = await run.train([...job, ...folder, '--workers', '3', '--resume']);
    expect(bitsOf(resumed)).toEqual(bitsOf(reference));
    expect(resumed.report.bitReproducible).toBe(true);
  });
});
