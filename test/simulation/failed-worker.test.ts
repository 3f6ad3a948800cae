import { afterEach, beforeAll, describe, expect, it } from 'vitest';
import { InProcessCluster, type InProcessClusterOptions } from './in-process-cluster.js';
import { type Trained, type TrainingRun, train, trainOn } from './tiny-training.js';

/** Present shards of five epochs: each has three batches of four and one of two. */
const presentShards = 5 * 14;

let reference: Trained;
let cluster: InProcessCluster;

beforeAll(async () => {
  reference = await trainOn({ workers: 1 });
});
afterEach(() => cluster.close());

interface Fault extends Omit<InProcessClusterOptions, 'onAnswer'> {
  /** Asked before each shard, counted per worker from 1: what its computation throws, or null. */
  readonly throws: (worker: number, count: number, shard: number) => string | null;
  readonly run?: TrainingRun;
  /** Whether a failure is told only after so many partials of the others: more than one round can wait for. */
  readonly toldAfter?: number;
}

/** Trains with workers whose compute throws now and then. */
function trainWith({ throws, run, toldAfter, ...options }: Fault): Promise<Trained> {
  const counts = new Map<number, number>();
  let partialsLeft = 0;
  cluster = new InProcessCluster({
    seed: options.workers,
    ...options,
    onAnswer(from, answer, { workers }) {
      const { worker } = from;
      if (answer.type === 'failed' && toldAfter !== undefined) {
        partialsLeft = toldAfter;
        from.hold();
      }
      if (answer.type === 'partial' && --partialsLeft === 0) for (const held of workers) held.release();
      if (answer.type !== 'computing') return;
      const count = (counts.get(worker) ?? 0) + 1;
      counts.set(worker, count);
      const message = throws(worker, count, answer.shard);
      // In the middle of the shard computer, as whatever a model or a device throws.
      if (message !== null) throw new RangeError(message);
    },
  });
  return train(cluster, run);
}

const warnings = (): string[] =>
  cluster.events.flatMap((event) => (event.type === 'warning' ? [event.message] : []));

describe('a worker whose compute throws', () => {
  it.each([2, 3, 4])(
    'is sent away and named once another has computed the shard; no bit is lost (%i workers)',
    async (workers) => {
      const trained = await trainWith({
        workers,
        throws: (worker, count) => (worker === 1 && count === 4 ? 'the device is gone' : null),
      });
      expect(trained.steps).toEqual(reference.steps);
      expect(trained.stateSha256).toBe(reference.stateSha256);
      expect(warnings()).toEqual([
        expect.stringMatching(
          /^worker 1 failed at shard \d of step \d+, and another is to try it: the device is gone$/,
        ),
        expect.stringMatching(
          /^worker 1 \(simulation\) was refused: it failed at shard \d of step \d+, which worker \d has computed: the device is gone$/,
        ),
      ]);
      expect(cluster.here.map(({ worker }) => worker)).toEqual([0, 2, 3].slice(0, workers - 1));
      const { counts } = cluster.access.conductor;
      expect(counts.recomputed).toBeGreaterThanOrEqual(1);
      const computed = cluster.access.conductor
        .tallies()
        .reduce((sum, { shardsComputed }) => sum + shardsComputed, 0);
      expect(computed).toBeLessThanOrEqual(presentShards + counts.recomputed);
    },
  );

  it('ends the run when another fails at the shard as well: both are named, with the rows', async () => {
    const training = trainWith({
      workers: 3,
      throws: (worker, _count, shard) => (shard === 2 ? `no such class (${worker})` : null),
    });
    await expect(training).rejects.toMatchObject({
      code: 'WORKER_FAILED',
      message: expect.stringMatching(
        /^workers \d and \d failed at shard 2 of step 1: worker \d: no such class \(\d\); worker \d: no such class \(\d\) \(rows \d+ to \d+ of batch 1/,
      ),
    });
  });

  it('ends the run at once where it is the only one, with what it says', async () => {
    const training = trainWith({
      workers: 1,
      throws: (_worker, count) => (count === 3 ? 'no such class' : null),
    });
    await expect(training).rejects.toMatchObject({
      code: 'WORKER_FAILED',
      message: 'worker 0: no such class',
    });
  });

  it('is tried against one that joins later, where workers come from elsewhere', async () => {
    const trained = await trainWith({
      workers: 1,
      othersMayCome: true,
      throws: (worker, count) => {
        if (worker > 0 || count !== 6) return null;
        setTimeout(() => cluster.join(), 20);
        return 'the device is gone';
      },
    });
    expect(trained.stateSha256).toBe(reference.stateSha256);
    expect(cluster.here.map(({ worker }) => worker)).toEqual([1]);
  });

  it('is sent away as well when it says so after the step is over', async () => {
    const trained = await trainWith({
      workers: 2,
      limits: { deadlineFloorMs: 100, warmUpMs: 300, unknownShardMs: 100 },
      toldAfter: 6,
      throws: (worker, count) => (worker === 1 && count === 4 ? 'the device is gone' : null),
    });
    expect(trained.stateSha256).toBe(reference.stateSha256);
    expect(warnings()).toEqual([
      expect.stringMatching(
        /^worker 1 .* was refused: it failed at shard \d of step \d+, which worker 0 has computed/,
      ),
    ]);
    expect(cluster.access.conductor.counts).toMatchObject({ recomputed: 0 });
    expect(cluster.access.conductor.counts.duplicated).toBeGreaterThanOrEqual(1);
  });
});
