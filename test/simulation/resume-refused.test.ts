import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as tf from '@tensorflow/tfjs';
import { afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { adam, sgd } from '../../coordinator/optimizer/configs.js';
import { features, rows, stepsPerEpoch, type Trained, tinyData, trainOn } from './tiny-training.js';

const objective = { loss: 'meanSquaredError', metrics: ['mae'] };

let directory: string;
let undisturbed: Trained;

beforeAll(async () => {
  undisturbed = await trainOn({ workers: 1 });
});

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'lockstep-resume-'));
});

afterEach(async () => {
  await rm(directory, { recursive: true, force: true });
});

describe('a resume is refused', () => {
  it.each([
    [
      'for another model',
      { model: tf.sequential({ layers: [tf.layers.dense({ units: 1, inputShape: [features] })] }) },
    ],
    ['with another shard count', { shards: 2 }],
    ['with another batch size', { batchSize: 32 }],
    ['with another optimizer', { optimizer: sgd() }],
    [
      'with other metrics in the middle of an epoch',
      { objective: { loss: 'meanSquaredError', metrics: [] } },
    ],
    [
      'with a metric that ranks in the middle of an epoch',
      { objective: { loss: 'meanSquaredError', metrics: ['auc'] } },
    ],
    ['with another loss', { objective: { loss: 'meanAbsoluteError', metrics: ['mae'] } }],
    ['with another weight of the loss', { objective: { ...objective, lossWeights: [0.5] } }],
    ['with class weights', { classWeight: { 0: 2 } }],
    ['without shuffling', { shuffle: false }],
    ['with shorter epochs', { stepsPerEpoch: 3 }],
    ['with more rows', { train: tinyData(rows + 1) }],
    ['with another rate', { optimizer: adam({ learningRate: 0.01, globalClipNorm: 1 }) }],
  ])('%s, and the checkpoint stays as it was', async (_what, other) => {
    await trainOn({ workers: 1 }, { directory, maxSteps: 3 });
    await expect(trainOn({ workers: 1 }, { directory, resumes: true, ...other })).rejects.toMatchObject({
      code: 'CHECKPOINT_MISMATCH',
    });
    const resumed = await trainOn({ workers: 1 }, { directory, resumes: true, maxSteps: 5 });
    expect(resumed.steps).toEqual(undisturbed.steps.slice(3, 5));
  });

  it('naming the setting that differs, as it was and as it is', async () => {
    await trainOn({ workers: 1 }, { directory, maxSteps: 3 });
    const other = { objective: { ...objective, loss: 'meanAbsoluteError' } };
    await expect(trainOn({ workers: 1 }, { directory, resumes: true, ...other })).rejects.toMatchObject({
      message: expect.stringMatching(/^the run has loss .*meanSquaredError.*, the job .*meanAbsoluteError/),
      hint: 'Resume with the loss of the run, or start in another folder.',
    });
  });

  it('not with other metrics between two epochs', async () => {
    await trainOn({ workers: 1 }, { directory, epochs: 1 });
    const objective = { loss: 'meanSquaredError', metrics: ['mse', 'mae'] };
    const resumed = await trainOn({ workers: 1 }, { directory, resumes: true, objective });
    expect(resumed.steps).toEqual(undisturbed.steps.slice(stepsPerEpoch));
    const { history } = resumed.outcome.history;
    expect([history.loss.length, history.mae.length, history.mse.length]).toEqual([5, 5, 4]);
  });

  it('when there is nothing to resume', async () => {
    await expect(trainOn({ workers: 1 }, { directory, resumes: true })).rejects.toMatchObject({
      code: 'CHECKPOINT_NOT_FOUND',
    });
  });

  it('not for leaving the shard count out: the run keeps its own', async () => {
    await trainOn({ workers: 1 }, { directory, maxSteps: 3 });
    const resumed = await trainOn({ workers: 6 }, { directory, resumes: true, shards: null });
    expect(resumed.stateSha256).toBe(undisturbed.stateSha256);
  });
});
