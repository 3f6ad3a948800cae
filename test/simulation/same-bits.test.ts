import { beforeAll, describe, expect, it } from 'vitest';
import { Random } from '../../shared/random.js';
import type { InProcessClusterOptions } from './in-process-cluster.js';
import { InProcessCluster } from './in-process-cluster.js';
import { stepsPerEpoch, type Trained, train, trainOn } from './tiny-training.js';

const steps = 5 * stepsPerEpoch;
let reference: Trained;

beforeAll(async () => {
  reference = await trainOn({ workers: 1 });
});

function expectSameBits(trained: Trained): void {
  // Step by step, so that a failure tells where two runs part.
  expect(trained.steps).toEqual(reference.steps);
  expect(trained.weightsSha256).toBe(reference.weightsSha256);
  expect(trained.stateSha256).toBe(reference.stateSha256);
  expect(trained.outcome.history.history).toEqual(reference.outcome.history.history);
}

/**
 * Workers that are lost at points that the seed chooses: before a shard, between two, or when a partial is about to
 * be sent. Another joins for each, so that the run always goes on.
 */
function losing(seed: number, workers: number): InProcessClusterOptions {
  const random = new Random(seed);
  return {
    workers,
    seed,
    limits: { lossesPerShard: 100 },
    onAnswer(worker, answer, cluster) {
      const atRisk = answer.type === 'computing' || answer.type === 'partial';
      if (!atRisk || random.below(25) !== 0) return;
      cluster.join();
      if (random.below(4) === 0) worker.leave();
      else worker.kill();
    },
  };
}

describe('a run of one job and seed', () => {
  it('changes its weights with every step and learns', () => {
    expect(new Set(reference.steps).size).toBe(steps);
    const { loss } = reference.outcome.history.history;
    expect(loss[4]).toBeLessThan(0.6 * loss[0]);
  });

  it.each([2, 3, 4, 6])('has the same bits on %i workers', async (workers) => {
    expectSameBits(await trainOn({ workers }));
  });

  it.each([11, 12, 13, 14])('has the same bits in whatever order partials arrive (seed %i)', async (seed) => {
    expectSameBits(await trainOn({ workers: 3, seed }));
  });

  it.each([21, 22, 23, 24, 25, 26])(
    'has the same bits when workers are lost in the middle of steps (seed %i)',
    async (seed) => {
      const cluster = new InProcessCluster(losing(seed, 1 + (seed % 3)));
      try {
        const trained = await train(cluster);
        const lost = cluster.workers.length - cluster.here.length;
        expect(lost).toBeGreaterThan(0);
        expectSameBits(trained);
      } finally {
        cluster.close();
      }
    },
  );

  it('has the same bits when a worker joins late, which then does its share', async () => {
    let answers = 0;
    const cluster = new InProcessCluster({
      workers: 1,
      onAnswer() {
        answers += 1;
        if (answers === 40) cluster.join();
      },
    });
    try {
      expectSameBits(await train(cluster));
      expect(cluster.workers[1].shardsComputed).toBeGreaterThan(5);
    } finally {
      cluster.close();
    }
  });

  it('gives each worker its fair share of the shards', async () => {
    const cluster = new InProcessCluster({ workers: 3 });
    try {
      await train(cluster);
      const shards = cluster.workers.map(({ shardsComputed }) => shardsComputed);
      // Per epoch 3 batches of 4 shards and one of 2.
      expect(shards.reduce((sum, count) => sum + count)).toBe(5 * 14);
      for (const count of shards) expect(Math.abs(count - 70 / 3)).toBeLessThan(5);
    } finally {
      cluster.close();
    }
  });

  it('computes again only what a lost worker held', async () => {
    let partials = 0;
    const cluster = new InProcessCluster({
      workers: 2,
      onAnswer(worker, answer) {
        if (worker.worker !== 1 || answer.type !== 'partial') return;
        partials += 1;
        // In the sixth round that it computes, just when its two shards are done.
        if (partials === 6) worker.kill();
      },
    });
    try {
      expectSameBits(await train(cluster));
      expect(cluster.access.conductor.counts.recomputed).toBe(2);
      const shards = cluster.workers.map(({ shardsComputed }) => shardsComputed);
      expect(shards[0] + shards[1]).toBe(5 * 14 + 2);
    } finally {
      cluster.close();
    }
  });
});

describe('other bits come from', () => {
  it('another seed', async () => {
    const other = await trainOn({ workers: 2 }, { seed: 4 });
    expect(other.steps[0]).not.toBe(reference.steps[0]);
    expect(other.stateSha256).not.toBe(reference.stateSha256);
  });

  it('another shard count', async () => {
    const other = await trainOn({ workers: 2 }, { shards: 2 });
    expect(other.steps[0]).not.toBe(reference.steps[0]);
  });
});
