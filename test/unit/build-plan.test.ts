import * as tf from '@tensorflow/tfjs';
import { beforeAll, describe, expect, it } from 'vitest';
import type { RunEvent } from '../../coordinator/events.js';
import { defaultShards } from '../../coordinator/loop/build-plan.js';
import { InProcessCluster } from '../simulation/in-process-cluster.js';
import { datasetOf, features, tinyData, tinyModel, train } from '../simulation/tiny-training.js';

beforeAll(async () => {
  await tf.setBackend('cpu');
});

/** What a run of so many workers refuses, or says, before it begins: it has none, and stops at once. */
async function beginning(workers: number, run: Parameters<typeof train>[1]): Promise<RunEvent[]> {
  const cluster = new InProcessCluster({ workers: 0 });
  const { conductor } = cluster.access;
  conductor.abandon('this test needs none');
  try {
    await train({ access: { ...cluster.access, workers } }, run);
  } catch (error) {
    if (!(error instanceof Error) || !('code' in error) || error.code !== 'NO_WORKERS') throw error;
  } finally {
    cluster.close();
  }
  return cluster.events;
}

const messages = (events: readonly RunEvent[], type: 'notice' | 'warning'): string[] =>
  events.flatMap((event) => (event.type === type ? [event.message] : []));

describe('the default number of shards', () => {
  it.each([
    [1, 32, 4],
    [2, 32, 4],
    [4, 32, 4],
    [5, 32, 8],
    [8, 32, 8],
    [9, 128, 16],
    [1, 3, 2],
    [1, 1, 1],
    [6, 5, 4],
  ])('for %i workers and batches of %i rows is %i', (workers, batchSize, expected) => {
    expect(defaultShards(workers, batchSize)).toBe(expected);
  });
});

describe('a plan', () => {
  it('warns of workers that no shard is left for, with what to do', async () => {
    const warned = messages(await beginning(6, { shards: 4 }), 'warning');
    expect(warned).toEqual([expect.stringMatching(/6 workers share 4 shards: 2 will be idle.*--shards/)]);
    expect(messages(await beginning(4, { shards: 4 }), 'warning')).toEqual([]);
  });

  it('says once what shards mean for BatchNormalization, and only then', async () => {
    const notices = async (run: Parameters<typeof train>[1]) => messages(await beginning(1, run), 'notice');
    expect(await notices({ shards: 4 })).toEqual([
      expect.stringMatching(/BatchNormalization normalises each of the 4 shards/),
    ]);
    expect(await notices({ shards: 1 })).toEqual([]);
    const plain = tf.sequential({ layers: [tf.layers.dense({ units: 1, inputShape: [features] })] });
    expect(await notices({ shards: 4, model: plain })).toEqual([]);
  });

  it.each([
    ['more shards than rows in a batch', { shards: 32, batchSize: 16 }, 'TOO_MANY_SHARDS'],
    ['a batch larger than the data', { batchSize: 55 }, 'BATCH_TOO_LARGE'],
    // 49 rows in batches of 16: the last has one.
    ['a single row for BatchNormalization', { train: tinyData(49) }, 'BATCHNORM_TOO_FEW'],
    [
      'no rows',
      {
        train: datasetOf(
          { dtype: 'float32', shape: [0, features], data: new Float32Array(0) },
          { dtype: 'float32', shape: [0, 1], data: new Float32Array(0) },
        ),
      },
      'DATA_EMPTY',
    ],
  ])('is refused with %s', async (_what, run, code) => {
    await expect(beginning(1, run)).rejects.toMatchObject({ code, hint: expect.stringMatching(/\w/) });
  });

  it('takes the model’s weights as they are, and leaves the model alone', async () => {
    const model = tinyModel();
    const before = model.getWeights().map((weight) => Array.from(weight.dataSync()));
    const cluster = new InProcessCluster({ workers: 1 });
    try {
      const { outcome } = await train(cluster, { model, maxSteps: 2 });
      expect(outcome.position.step).toBe(2);
    } finally {
      cluster.close();
    }
    expect(model.getWeights().map((weight) => Array.from(weight.dataSync()))).toEqual(before);
  });
});
