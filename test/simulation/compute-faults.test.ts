import { afterEach, beforeAll, describe, expect, it } from 'vitest';
import type { RunLimits } from '../../coordinator/core/run.js';
import type { FromThread } from '../../worker/thread-messages.js';
import { InProcessCluster } from './in-process-cluster.js';
import type { InProcessWorker } from './in-process-worker.js';
import { type Trained, type TrainingRun, train, trainOn } from './tiny-training.js';

/** Present shards of five epochs: each has three batches of four and one of two. */
const presentShards = 5 * 14;
/** A tiny shard takes a millisecond. */
const limits: Partial<RunLimits> = { deadlineFloorMs: 100, warmUpMs: 500, unknownShardMs: 100 };

let reference: Trained;
let cluster: InProcessCluster | null = null;

beforeAll(async () => {
  reference = await trainOn({ workers: 1 });
});
afterEach(() => cluster?.close());

type PartialAnswer = Extract<FromThread, { type: 'partial' }>;

interface Fault {
  readonly workers: number;
  readonly seed?: number;
  /** Told every partial of worker 1, counted from 1, before it is sent. */
  readonly onPartial: (
    worker: InProcessWorker,
    partial: PartialAnswer,
    count: number,
    /** Holds it back until the others have sent so many partials: more than one round can wait for. */
    holdFor: (partials: number) => void,
  ) => void;
}

/** Trains while worker 1 misbehaves. */
async function trainWith(
  { workers, seed = workers, onPartial }: Fault,
  run: TrainingRun = {},
): Promise<Trained> {
  let count = 0;
  let others = 0;
  let releaseAt = Number.NaN;
  cluster = new InProcessCluster({
    workers,
    seed,
    limits,
    onAnswer(worker, answer, own) {
      if (answer.type !== 'partial') return;
      if (worker.worker !== 1) {
        others += 1;
        if (others === releaseAt) own.workers[1].release();
        return;
      }
      count += 1;
      onPartial(worker, answer, count, (partials) => {
        releaseAt = others + partials;
        worker.hold();
      });
    },
  });
  return train(cluster, run);
}

function present(): InProcessCluster {
  if (cluster === null) throw new RangeError('nothing was trained');
  return cluster;
}

function expectSameBits(trained: Trained): void {
  expect(trained.steps).toEqual(reference.steps);
  expect(trained.stateSha256).toBe(reference.stateSha256);
}

/** Nothing was simply done again: every shard beyond the first is one that a counter names. */
function expectNoWaste(): void {
  const { counts } = present().access.conductor;
  const tallies = present().access.conductor.tallies();
  const computed = tallies.reduce((sum, { shardsComputed }) => sum + shardsComputed, 0);
  expect(computed).toBeGreaterThanOrEqual(presentShards);
  expect(computed).toBeLessThanOrEqual(
    presentShards + counts.recomputed + counts.duplicated + counts.audited,
  );
}

const warnings = (): string[] =>
  present().events.flatMap((event) => (event.type === 'warning' ? [event.message] : []));

describe('a worker whose compute does not return', () => {
  it.each([2, 3, 4])('costs its unit alone, and no bit (%i workers)', async (workers) => {
    const trained = await trainWith({
      workers,
      onPartial: (worker, _partial, count) => {
        if (count === 7) worker.hold();
      },
    });
    expectSameBits(trained);
    expectNoWaste();
    const { counts } = present().access.conductor;
    expect(counts.duplicated).toBeGreaterThanOrEqual(1);
    expect(counts.duplicated).toBeLessThanOrEqual(2);
    expect(counts).toMatchObject({ recomputed: 0, disagreements: 0, excluded: [] });
    // It is heard, so it stays.
    expect(present().here).toHaveLength(workers);
  });
});

describe('a worker that is slow', () => {
  it.each([2, 3, 4])('is overtaken, compared, and takes part again (%i workers)', async (workers) => {
    const answered: number[] = [];
    const trained = await trainWith(
      {
        workers,
        onPartial: (_worker, _partial, count, holdFor) => {
          answered.push(count);
          if (count === 7 || count === 12) holdFor(30);
        },
      },
      { epochs: 40 },
    );
    const undisturbed = await trainOn({ workers: 1 }, { epochs: 40 });
    expect(trained.steps).toEqual(undisturbed.steps);
    expect(trained.stateSha256).toBe(undisturbed.stateSha256);
    const { counts } = present().access.conductor;
    expect(counts.duplicated).toBeGreaterThanOrEqual(1);
    expect(counts).toMatchObject({ recomputed: 0, disagreements: 0, excluded: [] });
    expect(answered.length).toBeGreaterThan(12);
    expect(warnings()).toEqual([]);
  });

  it('and wrong stops the run, which names both, although the step is over', async () => {
    const training = trainWith(
      {
        workers: 2,
        onPartial: (_worker, { partial }, count, holdFor) => {
          if (count !== 7) return;
          partial.gradient[0] += 1;
          holdFor(30);
        },
      },
      { epochs: 40 },
    );
    await expect(training).rejects.toMatchObject({
      code: 'NOT_DETERMINISTIC',
      message: expect.stringMatching(/^workers 0 and 1 disagree about shards? .* of step 7, which is over/),
    });
  });
});

describe('a worker that sends NaN', () => {
  it('is excluded and named when two others agree on finite bits; the bits are the same', async () => {
    const trained = await trainWith({
      workers: 3,
      onPartial: (_worker, { partial }, count) => {
        if (count === 4) partial.gradient[2] = Number.NaN;
      },
    });
    expectSameBits(trained);
    expectNoWaste();
    const { excluded } = present().access.conductor.counts;
    expect(excluded).toMatchObject([{ worker: 1, host: 'simulation' }]);
    expect(warnings()).toContainEqual(
      expect.stringMatching(
        /^worker 1 .* was refused: it computed other bits for shards? .* of step \d+ than workers/,
      ),
    );
    expect(present().here.map(({ worker }) => worker)).toEqual([0, 2]);
  });

  it('stops the run when only one other is there, and both are named', async () => {
    const training = trainWith({
      workers: 2,
      onPartial: (_worker, { partial }, count) => {
        if (count === 4) partial.moments[0].mean[0] = Number.POSITIVE_INFINITY;
      },
    });
    await expect(training).rejects.toMatchObject({
      code: 'NOT_DETERMINISTIC',
      message: expect.stringMatching(/^workers (1 and 0|0 and 1) disagree about /),
    });
  });

  it('tells a fact of the model when another gives the same: training says so', async () => {
    cluster = new InProcessCluster({
      workers: 2,
      limits,
      onAnswer(_worker, answer) {
        if (answer.type === 'partial' && answer.lo === 0) answer.partial.gradient.fill(Number.NaN);
      },
    });
    await expect(train(cluster)).rejects.toMatchObject({ code: 'NOT_FINITE' });
    const { counts } = cluster.access.conductor;
    expect(counts.audited).toBeGreaterThan(0);
    expect(counts).toMatchObject({ disagreements: 0, excluded: [] });
  });
});

describe('an audit of every shard', () => {
  it.each([2, 3, 4])('changes no bit and costs each shard twice (%i workers)', async (workers) => {
    const trained = await trainWith({ workers, onPartial: () => {} }, { auditFraction: 1 });
    expectSameBits(trained);
    expectNoWaste();
    const { counts } = present().access.conductor;
    expect(counts).toMatchObject({ audited: presentShards, recomputed: 0, disagreements: 0, excluded: [] });
    expect(warnings()).toEqual([]);
  });

  it('says once that it is none where there is one worker', async () => {
    const trained = await trainWith({ workers: 1, onPartial: () => {} }, { auditFraction: 1 });
    expectSameBits(trained);
    expect(warnings()).toEqual([expect.stringMatching(/was to be computed twice, but no other worker can/)]);
  });

  it.each([1, 6, 11, 16])(
    'finds a worker that lies from its partial %i on; the bits are the same',
    async (from) => {
      const trained = await trainWith(
        {
          workers: 3,
          onPartial: (_worker, { partial }, count) => {
            if (count >= from) partial.gradient[count % partial.gradient.length] *= 1 + 2 ** -20;
          },
        },
        { auditFraction: 1 },
      );
      expectSameBits(trained);
      expectNoWaste();
      expect(present().access.conductor.counts.excluded).toMatchObject([{ worker: 1 }]);
      expect(present().access.conductor.counts.disagreements).toBeGreaterThanOrEqual(1);
    },
  );

  it('stops the run at the last committed step when two differ and there is no third', async () => {
    const steps: number[] = [];
    const training = trainWith(
      {
        workers: 2,
        onPartial: (_worker, { partial }, count) => {
          if (count === 17) partial.sums[0] += 1e-9;
        },
      },
      {
        auditFraction: 1,
        callbacks: [{ name: 'watch', onTrainBatchEnd: (_batch, _logs, { step }) => void steps.push(step) }],
      },
    );
    await expect(training).rejects.toMatchObject({
      code: 'NOT_DETERMINISTIC',
      message: expect.stringMatching(
        /^workers \d and \d disagree about shard \d of step 5, and no other worker can decide/,
      ),
    });
    expect(steps).toEqual([1, 2, 3, 4]);
  });
});

describe('a worker that sends what nobody asked for', () => {
  it('is told so, and closed when it goes on for ever; nothing of it counts', async () => {
    const trained = await trainWith({
      workers: 2,
      onPartial: (worker, _partial, count) => {
        if (count === 3) for (let i = 0; i < 100; i++) worker.repeat();
      },
    });
    expectSameBits(trained);
    expect(warnings()).toEqual([
      expect.stringMatching(/worker 1 .* it goes on sending what nobody asked it for/),
    ]);
  });
});
