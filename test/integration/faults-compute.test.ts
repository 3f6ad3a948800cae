import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { PlannedFault } from '../../chaos/plan.js';
import { datasets, decidedJob, expectExact, planOf, shardsOfRun } from './exact-run.js';
import { bitsOf, TestRun, type Trained } from './test-run.js';

const warningsOf = ({ entries }: Pick<Trained, 'entries'>): string[] =>
  entries.flatMap(({ event, message }) => (event === 'warning' ? [String(message)] : []));

/** The fault strikes in the fifth step or, if the word of it comes late, in one soon after. */
function expectExcluded({ report }: Trained): void {
  expect(report.excluded).toMatchObject([{ worker: 1 }]);
  expect(report.excluded[0].step).toBeGreaterThanOrEqual(5);
}

// Real processes, of which one misbehaves.
describe.each(datasets)('training on %s', (data, name) => {
  const job = decidedJob(name);
  const isStream = data !== 'arrays';
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

  /** Arguments for a run on `workers` workers under these faults. */
  async function faulty(workers: number, ...faults: PlannedFault[]): Promise<string[]> {
    return [...job, '--workers', String(workers), '--faults', await planOf(run, faults)];
  }

  it('overtakes workers that are slow, and compares what they send in the end', async () => {
    // The first one's answer comes while the second one is waited for.
    const trained = await run.train(
      await faulty(
        3,
        { step: 3, do: 'slow', worker: 0, ms: 1_800 },
        { step: 6, do: 'slow', worker: 1, ms: 1_800 },
      ),
    );
    await expectExact(run, trained, { reference, faults: 2 });
    const { report } = trained;
    expect(report.shardsDuplicated).toBeGreaterThanOrEqual(2);
    expect(report).toMatchObject({ shardsRecomputed: 0, disagreements: 0, excluded: [], faults: [] });
    // It came: both copies are counted.
    expect(report.shardsComputed).toBeGreaterThan(shardsOfRun);
    expect(report.shardsComputed).toBeLessThanOrEqual(shardsOfRun + report.shardsDuplicated);
  });

  const workers = isStream ? 4 : 2;
  it(`loses one unit's work and no bit to a worker whose compute never returns, of ${workers}`, async () => {
    const trained = await run.train(await faulty(workers, { step: 4, do: 'hang', worker: 1 }));
    await expectExact(run, trained, { reference, faults: 1 });
    const { report } = trained;
    expect(report.shardsDuplicated).toBeGreaterThanOrEqual(1);
    expect(report.shardsDuplicated).toBeLessThanOrEqual(2);
    // It is heard to the end: nobody sends it away.
    expect(report).toMatchObject({ shardsRecomputed: 0, disagreements: 0, excluded: [], faults: [] });
  });

  it('tells a worker that sends NaN from a model that diverges: it is excluded and named', async () => {
    const trained = await run.train(await faulty(3, { step: 4, do: 'nan', worker: 1 }));
    await expectExact(run, trained, { reference, faults: 1 });
    expectExcluded(trained);
    expect(warningsOf(trained)).toContainEqual(
      expect.stringMatching(
        /^worker 1 \(.+\) was refused: it computed other bits for shard \d of step \d+ than workers/,
      ),
    );
  });

  it('finds a worker that computes wrong numbers by an audit: it is excluded and named', async () => {
    const args = [...(await faulty(3, { step: 4, do: 'wrong', worker: 1 })), '--audit-fraction', '1'];
    const trained = await run.train(args);
    await expectExact(run, trained, { reference, faults: 1 });
    expectExcluded(trained);
    expect(trained.report.disagreements).toBe(1);
  });

  it.each(isStream ? (['nan'] as const) : (['wrong'] as const))(
    'ends where only one other is there to judge a worker that sends %s, with both named',
    async (action) => {
      const args = await faulty(2, { step: 4, do: action, worker: 1 });
      const audit = action === 'wrong' ? ['--audit-fraction', '1'] : [];
      const { exitCode, stderr } = await run.start(['train', ...args, ...audit]).ended;
      expect(stderr).toMatch(
        /error: workers \d and \d disagree about shards? .* of step \d+, and no other worker can decide/,
      );
      expect(exitCode).toBe(1);
      expect(await run.running()).toEqual([]);
    },
  );

  if (!isStream)
    it('has other bits after wrong numbers that nobody audits', async () => {
      const trained = await run.train(await faulty(3, { step: 4, do: 'wrong', worker: 1 }));
      expect(trained.report.weightsSha256).not.toBe(reference.report.weightsSha256);
      expect(trained.report).toMatchObject({ excluded: [], disagreements: 0 });
    });

  if (isStream)
    it('has the same bits when a share of the shards is audited', async () => {
      const trained = await run.train([...job, '--workers', '3', '--audit-fraction', '0.3']);
      expect(bitsOf(trained)).toEqual(bitsOf(reference));
      const { shardsComputed, shardsAudited } = trained.report;
      expect(shardsAudited).toBeGreaterThan(0);
      expect(shardsAudited).toBeLessThan(shardsOfRun);
      expect(shardsComputed).toBe(shardsOfRun + shardsAudited);
    });
});
