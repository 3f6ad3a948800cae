import { writeFile } from 'node:fs/promises';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { bitsOf, fixtureJob, stalledPid, TestRun, type Trained } from './test-run.js';

// The CNN with BatchNorm, dropout and Adam, on real processes, of which one misbehaves in step 5 of 12 or soon after.
const options = [fixtureJob('cnn'), '--shards', '4', '--seed', '7', '--backend', 'wasm'];
/** Two epochs of five batches of four shards, and one of two. */
const presentShards = 2 * (5 * 4 + 2);

let reference: Trained;
let referenceRun: TestRun;
let run: TestRun;

beforeAll(async () => {
  referenceRun = await TestRun.begin();
  reference = await referenceRun.train([...options, '--workers', '1']);
  expect(reference.report).toMatchObject({ steps: 12, shardsComputed: presentShards });
});
afterAll(() => referenceRun.end());
beforeEach(async () => {
  run = await TestRun.begin();
});
afterEach(() => run.end());

/** Arguments for a run on `workers` workers, of which number 1 meets the fault. */
async function faulty(workers: number, fault: Record<string, unknown>): Promise<string[]> {
  const plan = run.at('faults.json');
  await writeFile(plan, JSON.stringify({ faults: [{ step: 4, worker: 1, ...fault }] }));
  return [...options, '--workers', String(workers), '--faults', plan];
}

/** Every shard beyond the first copy is one that a counter names: nothing was simply done again. */
function expectNoWaste({ report }: Trained): void {
  const { shardsComputed, shardsRecomputed, shardsDuplicated, shardsAudited } = report;
  expect(shardsComputed).toBeGreaterThanOrEqual(presentShards);
  expect(shardsComputed).toBeLessThanOrEqual(
    presentShards + shardsRecomputed + shardsDuplicated + shardsAudited,
  );
}

/** The fault strikes in step 5 or, if the word of it comes late, in one soon after. */
function expectExcluded({ report }: Trained): void {
  expect(report.excluded).toMatchObject([{ worker: 1 }]);
  expect(report.excluded[0].step).toBeGreaterThanOrEqual(5);
}

const warningsOf = ({ entries }: Pick<Trained, 'entries'>): string[] =>
  entries.flatMap(({ event, message }) => (event === 'warning' ? [String(message)] : []));

describe('a worker whose compute never returns', () => {
  it.each([2, 3, 4])('costs its unit alone, and no bit (%i workers)', async (workers) => {
    const trained = await run.train(await faulty(workers, { do: 'hang' }));
    expect(bitsOf(trained)).toEqual(bitsOf(reference));
    expectNoWaste(trained);
    const { report } = trained;
    expect(report.shardsDuplicated).toBeGreaterThanOrEqual(1);
    expect(report.shardsDuplicated).toBeLessThanOrEqual(2);
    // It is heard to the end: nobody sends it away.
    expect(report).toMatchObject({ shardsRecomputed: 0, disagreements: 0, excluded: [], faults: [] });
    expect(await run.running()).toEqual([]);
  });
});

describe('a worker process that is stopped', () => {
  it('is overtaken before its silence costs it its place, and no bit is lost', async () => {
    const stall = run.at('stalled');
    const job = [fixtureJob('interrupted'), ...options.slice(1)];
    const undisturbed = await run.train([...job, '--workers', '2']);
    const training = run.startTraining(['train', ...job, '--workers', '2'], { LOCKSTEP_TEST_STALL: stall });
    const stopped = await stalledPid(stall);
    process.kill(stopped, 'SIGSTOP');
    const trained = await training.trained;
    expect(bitsOf(trained)).toEqual(bitsOf(undisturbed));
    expectNoWaste(trained);
    const { report } = trained;
    expect(report.shardsDuplicated + report.shardsRecomputed).toBeGreaterThanOrEqual(1);
    expect(report.shardsDuplicated + report.shardsRecomputed).toBeLessThanOrEqual(2);
    expect(report.faults).toEqual([]);
    expect(await run.running()).toEqual([]);
  });
});

describe('a worker that is slow', () => {
  it('is overtaken, and what it sends in the end is compared', async () => {
    const trained = await run.train([...(await faulty(3, { do: 'slow', ms: 2_500 })), '--epochs', '30']);
    const undisturbed = await run.train([...options, '--workers', '3', '--epochs', '30']);
    expect(bitsOf(trained)).toEqual(bitsOf(undisturbed));
    const { report } = trained;
    expect(report.shardsDuplicated).toBeGreaterThanOrEqual(1);
    expect(report).toMatchObject({ shardsRecomputed: 0, disagreements: 0, excluded: [], faults: [] });
    // Its answer came: both copies are counted.
    const present = 15 * presentShards;
    expect(report.shardsComputed).toBeGreaterThan(present);
    expect(report.shardsComputed).toBeLessThanOrEqual(present + report.shardsDuplicated);
  });
});

describe('a worker that sends NaN', () => {
  it('is told from a diverging model: it is excluded and named, and the bits are the same', async () => {
    const trained = await run.train(await faulty(3, { do: 'nan' }));
    expect(bitsOf(trained)).toEqual(bitsOf(reference));
    expectNoWaste(trained);
    expectExcluded(trained);
    expect(warningsOf(trained)).toContainEqual(
      expect.stringMatching(
        /^worker 1 \(.+\) was refused: it computed other bits for shard \d of step \d+ than workers/,
      ),
    );
  });

  it('ends the run where only one other is there, with both named', async () => {
    const { exitCode, stderr } = await run.start(['train', ...(await faulty(2, { do: 'nan' }))]).ended;
    expect(stderr).toMatch(
      /error: workers \d and \d disagree about shards? .* of step \d+, and no other worker can decide/,
    );
    expect(exitCode).toBe(1);
    expect(await run.running()).toEqual([]);
  });
});

describe('a worker that computes wrong numbers', () => {
  it('is found by an audit, excluded and named, and the bits are the same', async () => {
    const args = [...(await faulty(3, { do: 'wrong' })), '--audit-fraction', '1'];
    const trained = await run.train(args);
    expect(bitsOf(trained)).toEqual(bitsOf(reference));
    expectNoWaste(trained);
    expectExcluded(trained);
    expect(trained.report.disagreements).toBe(1);
  });

  it('goes unseen without an audit: the bits are others', async () => {
    const trained = await run.train(await faulty(3, { do: 'wrong' }));
    expect(trained.report.weightsSha256).not.toBe(reference.report.weightsSha256);
    expect(trained.report).toMatchObject({ excluded: [], disagreements: 0 });
  });

  it('ends the run where nobody can decide, with both named', async () => {
    const args = ['train', ...(await faulty(2, { do: 'wrong' })), '--audit-fraction', '1'];
    const { exitCode, stderr } = await run.start(args).ended;
    expect(stderr).toMatch(
      /error: workers \d and \d disagree about shard \d of step \d+, and no other worker can decide/,
    );
    expect(exitCode).toBe(1);
  });
});

it('an audit of a share of the shards changes no bit', async () => {
  const trained = await run.train([...options, '--workers', '3', '--audit-fraction', '0.3']);
  expect(bitsOf(trained)).toEqual(bitsOf(reference));
  const { shardsComputed, shardsAudited } = trained.report;
  expect(shardsAudited).toBeGreaterThan(0);
  expect(shardsAudited).toBeLessThan(presentShards);
  expect(shardsComputed).toBe(presentShards + shardsAudited);
});
