import * as tf from '@tensorflow/tfjs';
import { afterEach, describe, expect, it } from 'vitest';
import type { ClusterAccess } from '../../coordinator/cluster.js';
import { canonicalModel } from '../../coordinator/loop/canonical-model.js';
import { describeProgram } from '../../coordinator/loop/program.js';
import { prepareWorkers } from '../../coordinator/loop/run-plan.js';
import { LockstepError } from '../../shared/errors.js';
import { InProcessCluster, type InProcessClusterOptions } from './in-process-cluster.js';
import { features, tinyModel, train, trainOn } from './tiny-training.js';

const clusters: InProcessCluster[] = [];

function clusterOf(options: InProcessClusterOptions): InProcessCluster {
  const cluster = new InProcessCluster(options);
  clusters.push(cluster);
  return cluster;
}

afterEach(() => {
  for (const cluster of clusters.splice(0)) cluster.close();
});

const linear = (units: number): tf.LayersModel =>
  tf.sequential({
    layers: [
      tf.layers.dense({
        units,
        inputShape: [features],
        kernelInitializer: tf.initializers.glorotUniform({ seed: 1 }),
      }),
    ],
  });

function prepare(access: ClusterAccess, model: tf.LayersModel): Promise<void> {
  const canonical = canonicalModel(model);
  const objective = { loss: 'meanSquaredError' };
  return prepareWorkers(
    access,
    canonical,
    describeProgram(model, canonical, objective, { seed: 0, hasJob: false }),
  );
}

const warnings = ({ events }: InProcessCluster): string[] =>
  events.flatMap((event) => (event.type === 'warning' ? [event.message] : []));

describe('the conductor', () => {
  it('keeps a worker whose answer is about a program that was replaced meanwhile', async () => {
    const cluster = clusterOf({ workers: 2 });
    const replaced = prepare(cluster.access, linear(2));
    await Promise.all([replaced, prepare(cluster.access, linear(3))]);
    const trained = await train(cluster, { epochs: 2 });
    expect(warnings(cluster)).toEqual([]);
    expect(cluster.here).toHaveLength(2);
    expect(trained.steps).toEqual((await trainOn({ workers: 1 }, { epochs: 2 })).steps);
  });

  it('keeps a slow worker whose answer belongs to a program that was replaced meanwhile', async () => {
    const cluster = clusterOf({
      workers: 2,
      limits: { warmUpMs: 50, unknownShardMs: 0, deadlineFloorMs: 50 },
      onAnswer: (worker, answer) => {
        if (worker.worker === 1 && answer.type === 'partial') worker.hold();
      },
    });
    await train(cluster, { maxSteps: 1 });
    const replaced = prepare(cluster.access, linear(3));
    cluster.workers[1].release();
    await replaced;
    expect(warnings(cluster)).toEqual([]);
    expect(cluster.here).toHaveLength(2);
  });

  it('frees what it sent ahead for rounds that never came', async () => {
    const cluster = clusterOf({ workers: 2 });
    // One shard per batch: each run leaves a batch with the worker whose turn would have been next.
    for (let run = 0; run < 8; run++) {
      const { outcome } = await train(cluster, { model: linear(1), shards: 1, batchSize: 4, maxSteps: 1 });
      expect(outcome.position.step).toBe(1);
    }
    expect(cluster.here).toHaveLength(2);
  });

  it('refuses a worker that cannot build what others have built, and goes on', async () => {
    const cluster = clusterOf({
      workers: 1,
      onAnswer(worker, answer) {
        if (worker.worker === 0 || answer.type !== 'ready') return;
        // Its model has other weights, e.g. because its custom layer is another version.
        Object.assign(answer, { manifestHash: 'f'.repeat(64) });
      },
    });
    await prepare(cluster.access, tinyModel());
    cluster.join();
    const trained = await train(cluster, { epochs: 2 });
    expect(trained.steps).toEqual((await trainOn({ workers: 1 }, { epochs: 2 })).steps);
    expect(warnings(cluster)).toEqual([expect.stringMatching(/worker 1 .*refused/)]);
    expect(cluster.here.map(({ worker }) => worker)).toEqual([0]);
  });

  it('waits for others when a worker from elsewhere fails before any is ready, and trains with them', async () => {
    const cluster = clusterOf({
      workers: 1,
      othersMayCome: true,
      onAnswer(worker, answer, own) {
        if (worker.worker !== 0 || answer.type !== 'ready') return;
        for (const field of Object.keys(answer)) Reflect.deleteProperty(answer, field);
        const failed = { type: 'failed', order: null, shard: null, code: 'BACKEND_UNAVAILABLE', hint: 'h' };
        Object.assign(answer, failed, { message: 'no backend works here' });
        own.join();
      },
    });
    const trained = await train(cluster, { epochs: 2 });
    expect(trained.steps).toEqual((await trainOn({ workers: 1 }, { epochs: 2 })).steps);
    expect(warnings(cluster)).toEqual([expect.stringMatching(/worker 0 .*refused: no backend works here/)]);
    expect(cluster.here.map(({ worker }) => worker)).toEqual([1]);
  });

  it('refuses a worker whose canary has other bits, and admits it where that is allowed', async () => {
    const skew = { sha256: 'd'.repeat(64), ms: 1 };
    for (const allowMixed of [false, true]) {
      const cluster = clusterOf({
        workers: 1,
        allowMixed,
        onAnswer: (worker, answer) => {
          if (worker.worker === 1 && answer.type === 'ready') Object.assign(answer, { canary: skew });
        },
      });
      const before = await train(cluster, { epochs: 1 });
      cluster.join();
      const told = allowMixed ? 'cannot be reproduced bit by bit' : 'refused';
      await expect.poll(() => warnings(cluster)).toEqual([expect.stringContaining(told)]);
      const { mixed } = cluster.access.conductor.reference;
      expect(mixed).toEqual(allowMixed ? [expect.stringContaining('canary')] : []);
      expect(cluster.here).toHaveLength(allowMixed ? 2 : 1);
      expect((await train(cluster, { epochs: 1 })).steps).toEqual(before.steps);
    }
  });

  it('tells everyone who waits when the run stops, and whoever comes later', async () => {
    const cluster = clusterOf({ workers: 0 });
    const waiting = cluster.access.conductor.ready(3, 60_000);
    cluster.access.conductor.abandon('the last one ended with code 1');
    const error = { code: 'NO_WORKERS', message: expect.stringContaining('ended with code 1') };
    await expect(waiting).rejects.toMatchObject(error);
    await expect(cluster.access.conductor.ready(1, 60_000)).rejects.toMatchObject(error);
    await expect(train(cluster)).rejects.toMatchObject(error);
  });

  it('leaves nobody waiting when it is closed', async () => {
    const closed = { code: 'NO_WORKERS', message: expect.stringContaining('closed') };
    const computing = clusterOf({
      workers: 1,
      onAnswer(_worker, answer, own) {
        if (answer.type === 'partial') own.access.conductor.close('enough');
      },
    });
    await expect(train(computing)).rejects.toMatchObject(closed);
    await expect(train(computing)).rejects.toMatchObject(closed);
    const empty = clusterOf({ workers: 0 });
    const waiting = empty.access.conductor.ready(1, 60_000);
    empty.access.conductor.close('enough');
    await expect(waiting).rejects.toMatchObject(closed);
  });

  it('begins again with the workers that are left, and still tells what the lost ones did', async () => {
    const cluster = clusterOf({ workers: 2 });
    const first = await train(cluster, { epochs: 1 });
    cluster.workers[1].kill();
    const again = await train(cluster, { epochs: 1 });
    expect(again.steps).toEqual(first.steps);
    const tallies = cluster.access.conductor.tallies();
    expect(tallies.map(({ row, lost }) => [row.worker, lost === null])).toEqual([
      [0, true],
      [1, false],
    ]);
    // Present shards of 4 batches: 4, 4, 4 and 2.
    expect(tallies.reduce((sum, { shardsComputed }) => sum + shardsComputed, 0)).toBe(2 * 14);
  });

  it('stops with NO_WORKERS when the last worker is lost and none comes', async () => {
    const cluster = clusterOf({
      workers: 1,
      limits: { withoutWorkersMs: 400 },
      onAnswer(worker, answer) {
        if (answer.type === 'partial') worker.kill();
      },
    });
    await expect(train(cluster)).rejects.toMatchObject({ code: 'NO_WORKERS' });
  });

  it('stops with the reason of the only worker, where no other can do better', async () => {
    const cluster = clusterOf({
      workers: 1,
      onAnswer(_worker, answer) {
        if (answer.type !== 'computing') return;
        // It could not take the weights.
        const message = 'the weights do not fit';
        const failed = { type: 'failed', order: null, code: 'WORKER_OUT_OF_MEMORY', message, hint: 'h' };
        Object.assign(answer, failed);
        Reflect.deleteProperty(answer, 'round');
      },
    });
    expect(cluster.access.conductor.isStopped).toBe(false);
    await expect(train(cluster)).rejects.toMatchObject({
      code: 'WORKER_OUT_OF_MEMORY',
      message: 'worker 0: the weights do not fit',
    });
    expect(cluster.access.conductor.isStopped).toBe(true);
    // It is sent away, not lost.
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect(cluster.here).toEqual([]);
    expect(cluster.events.filter(({ type }) => type === 'worker-lost')).toEqual([]);
  });

  it('fails with what a worker reports, also if that is called an interruption', async () => {
    const cluster = clusterOf({
      workers: 1,
      onAnswer(_worker, answer) {
        if (answer.type !== 'computing') return;
        throw new LockstepError('INTERRUPTED', 'not so', { hint: 'h' });
      },
    });
    await expect(train(cluster)).rejects.toMatchObject({ code: 'INTERRUPTED' });
  });

  it('names the shard when it ends every worker that takes it', async () => {
    const cluster = clusterOf({
      workers: 1,
      limits: { lossesPerShard: 3 },
      onAnswer(worker, answer, own) {
        if (answer.type !== 'computing' || answer.shard !== 1) return;
        own.join();
        worker.kill();
      },
    });
    await expect(train(cluster, { shards: 2 })).rejects.toMatchObject({
      code: 'WORKER_FAILED',
      message: expect.stringMatching(
        /^shard (\d) of step 1 was held by 3 workers when they were lost \(rows (0 to 7|8 to 15) of batch 1 of epoch 1; of the dataset: (\d+, ){7}\d+\)$/,
      ),
    });
    expect(cluster.workers.filter(({ isHere }) => !isHere).length).toBeGreaterThanOrEqual(3);
  });
});
