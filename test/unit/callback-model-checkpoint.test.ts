import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as tf from '@tensorflow/tfjs';
import { describe, expect, it } from 'vitest';
import { CallbackList } from '../../coordinator/callbacks/callback-list.js';
import {
  type ModelCheckpointOptions,
  modelCheckpoint,
} from '../../coordinator/callbacks/model-checkpoint.js';
import { saveModel } from '../../coordinator/checkpoint/saved-model.js';
import { FakeTraining, logsOf, simulate } from './callback-training.js';

const unused = { best: 0, epoch: 3, lastBatch: 1, batchesSinceSave: 0 };
const losses = logsOf('val_loss', [3, 2, 2.5, 1]);

async function saved(directory: string, options: ModelCheckpointOptions, logs = losses) {
  const { training } = await simulate(() => [modelCheckpoint(directory, options)], logs);
  return training.saved;
}

describe('modelCheckpoint', () => {
  it('saves after every epoch, its number from 1 in the path', async () => {
    expect(await saved('m/{epoch:02d}-{val_loss:.1f}', {})).toEqual([
      'm/01-3.0',
      'm/02-2.0',
      'm/03-2.5',
      'm/04-1.0',
    ]);
  });

  it('saves only the best, by smaller loss or larger accuracy, and only better than the threshold', async () => {
    const best = { saveBestOnly: true };
    expect(await saved('{epoch}', best)).toEqual(['1', '2', '4']);
    expect(await saved('{epoch}', { ...best, initialValueThreshold: 2.2 })).toEqual(['2', '4']);
    const accuracies = logsOf('val_accuracy', [0.5, 0.4, 0.6, 0.6]);
    expect(await saved('{epoch}', { ...best, monitor: 'val_accuracy' }, accuracies)).toEqual(['1', '3']);
    expect(await saved('{epoch}', { ...best, mode: 'max' })).toEqual(['1']);
  });

  it('saves each time, and says so once, when the best cannot be told', async () => {
    const { training } = await simulate(
      () => [modelCheckpoint('{epoch}', { saveBestOnly: true })],
      logsOf('loss', [1, 2]),
    );
    expect(training.saved).toEqual(['1', '2']);
    expect(training.printed).toEqual(['val_loss is not available (loss): the model is saved each time']);
  });

  it('saves every so many batches, counted across epochs', async () => {
    // Four epochs of two batches: the 3rd and 6th batch are batch 1 of epoch 2 and batch 2 of epoch 3.
    expect(await saved('{epoch}.{batch}', { saveFreq: 3 })).toEqual(['2.1', '3.2']);
  });

  it('keeps the last n models on disk, and the files of others', async () => {
    const directory = await mkdtemp(join(tmpdir(), 'lockstep-callback-'));
    try {
      const model = tf.sequential({ layers: [tf.layers.dense({ inputShape: [1], units: 1 })] });
      const training = new FakeTraining();
      training.saveModel = (path) => saveModel(model, path);
      const make = () => [modelCheckpoint(join(directory, 'epoch-{epoch}'), { keepLast: 2 })];
      await simulate(make, losses, { training });
      expect(await readdir(directory)).toEqual(['epoch-3', 'epoch-4']);
      await writeFile(join(directory, 'epoch-3', 'notes.txt'), '');
      // A resumed run knows what the run before it saved.
      const list = new CallbackList(make());
      list.loadState({
        values: { modelCheckpoint: { ...unused, saved: [{ epoch: 3 }, { epoch: 4 }] } },
        tensors: {},
      });
      for (const epoch of [4, 5]) await list.onEpochEnd(epoch, {}, training);
      expect(await readdir(directory)).toEqual(['epoch-3', 'epoch-5', 'epoch-6']);
      expect(await readdir(join(directory, 'epoch-3'))).toEqual(['notes.txt']);
      expect(list.saveState().values.modelCheckpoint.saved).toEqual([{ epoch: 5 }, { epoch: 6 }]);
      expect(await readdir(join(directory, 'epoch-6'))).toHaveLength(2);
      const once = () => [modelCheckpoint(join(directory, 'best'), { keepLast: 1 })];
      await simulate(once, losses, { training });
      expect(await readdir(join(directory, 'best'))).toHaveLength(2);
    } finally {
      await rm(directory, { recursive: true, force: true });
    }
  });

  it('refuses what it cannot do', async () => {
    expect(() => modelCheckpoint('m', { saveFreq: 0 })).toThrow(/saveFreq is 0/);
    expect(() => modelCheckpoint('m', { keepLast: 0.5 })).toThrow(/keepLast is 0.5/);
    await expect(saved('{val_acc}', {})).rejects.toMatchObject({ code: 'BAD_OPTION' });
    await expect(saved('{epoch:x}', {})).rejects.toMatchObject({ code: 'BAD_OPTION' });
  });
});
