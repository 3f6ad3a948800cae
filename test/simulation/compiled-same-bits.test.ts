import { beforeAll, describe, expect, it } from 'vitest';
import { Random } from '../../shared/random.js';
import { InProcessCluster } from './in-process-cluster.js';
import { type Trained, train, trainOn } from './tiny-training.js';

const backend = 'onnx';
let reference: Trained;

beforeAll(async () => {
  reference = await trainOn({ workers: 1, backend });
});

function expectSameBits(trained: Trained): void {
  expect(trained.steps).toEqual(reference.steps);
  expect(trained.weightsSha256).toBe(reference.weightsSha256);
  expect(trained.stateSha256).toBe(reference.stateSha256);
  expect(trained.outcome.history.history).toEqual(reference.outcome.history.history);
}

describe('a compiled run of one job and seed', () => {
  it('learns as the run op by op does, dropout masks included', async () => {
    const { loss } = reference.outcome.history.history;
    expect(loss[4]).toBeLessThan(0.6 * loss[0]);
    const eager = await trainOn({ workers: 1, backend: 'cpu' });
    expect(reference.weightsSha256).not.toBe(eager.weightsSha256);
    loss.forEach((value, epoch) => {
      expect(value).toBeCloseTo(eager.outcome.history.history.loss[epoch], 4);
    });
  });

  it.each([2, 3, 4])('has the same bits on %i workers', async (workers) => {
    expectSameBits(await trainOn({ workers, backend }));
  });

  it('has the same bits when workers are lost in the middle of steps', async () => {
    const random = new Random(5);
    const cluster = new InProcessCluster({
      ...{ workers: 2, seed: 5, backend, limits: { lossesPerShard: 100 } },
      onAnswer(worker, answer, own) {
        const atRisk = answer.type === 'computing' || answer.type === 'partial';
        if (!atRisk || random.below(25) !== 0) return;
        own.join();
        worker.kill();
      },
    });
    try {
      expectSameBits(await train(cluster));
      expect(cluster.workers.length - cluster.here.length).toBeGreaterThan(0);
    } finally {
      cluster.close();
    }
  });
});
