import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as tf from '@tensorflow/tfjs';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Callback, Logs } from '../../coordinator/callbacks/callback.js';
import { CallbackList } from '../../coordinator/callbacks/callback-list.js';
import { csvLogger } from '../../coordinator/callbacks/csv-logger.js';
import { earlyStopping } from '../../coordinator/callbacks/early-stopping.js';
import { History } from '../../coordinator/callbacks/history.js';
import { learningRateScheduler } from '../../coordinator/callbacks/learning-rate-scheduler.js';
import { modelCheckpoint } from '../../coordinator/callbacks/model-checkpoint.js';
import { reduceLROnPlateau } from '../../coordinator/callbacks/reduce-lr-on-plateau.js';
import { callbacksOf } from '../../coordinator/callbacks/tfjs-callback.js';
import { decodeExact, encodeExact } from '../../coordinator/checkpoint/exact-json.js';
import { FakeTraining, logsOf, simulate } from './callback-training.js';

const losses = logsOf('val_loss', [9, 7, 7, 6, 6.5, 6.2, 6.1, 5, 5.5, 5.4, 5.3, 5.2, 5.1]);

const cases: [name: string, make: () => readonly Callback[]][] = [
  ['earlyStopping', () => [earlyStopping({ patience: 4, restoreBestWeights: true })]],
  ['earlyStopping with a baseline', () => [earlyStopping({ patience: 4, baseline: 6.05 })]],
  ['reduceLROnPlateau', () => [reduceLROnPlateau({ patience: 2, factor: 0.5, cooldown: 2 })]],
  ['learningRateScheduler', () => [learningRateScheduler((epoch, rate) => rate / (epoch + 1))]],
  ['modelCheckpoint', () => [modelCheckpoint('m/{epoch}-{batch}', { saveFreq: 5, keepLast: 9 })]],
  ['the best modelCheckpoint', () => [modelCheckpoint('best/{epoch}', { saveBestOnly: true })]],
  ['tf.callbacks.earlyStopping', () => callbacksOf(tf.callbacks.earlyStopping({ patience: 3 }))],
  ['two of a kind', () => [earlyStopping({ patience: 8 }), earlyStopping({ patience: 5 })]],
];

describe.each(cases)('%s', (_, make) => {
  it('goes on after any checkpoint as if it had never stopped', async () => {
    const whole = await simulate(make, losses);
    for (let checkpointAfter = 0; checkpointAfter < losses.length; checkpointAfter++) {
      const resumed = await simulate(make, losses, { checkpointAfter });
      expect(resumed.rows).toEqual(whole.rows);
      expect(resumed.training.weights).toEqual(whole.training.weights);
      expect(resumed.training.saved).toEqual(whole.training.saved);
    }
  });

  it('saves state that survives a checkpoint: exact JSON and tensors', async () => {
    const training = new FakeTraining();
    const list = new CallbackList(make());
    await list.onTrainBegin(training);
    const untouched = list.saveState();
    expect(decodeExact(encodeExact(untouched.values))).toEqual(untouched.values);
    const other = new CallbackList(make());
    other.loadState(untouched);
    expect(other.saveState()).toEqual(untouched);
  });
});

describe('saved state', () => {
  it('is a copy that later epochs do not change', async () => {
    const history = new History();
    const list = new CallbackList([history, earlyStopping({ restoreBestWeights: true })]);
    const training = new FakeTraining();
    await list.onEpochEnd(0, { val_loss: 1 }, training);
    const state = list.saveState();
    const text = encodeExact(state.values);
    await list.onEpochEnd(1, { val_loss: 0.5 }, training);
    expect(encodeExact(state.values)).toBe(text);
    expect(state.tensors).toEqual({ 'earlyStopping/best/0': Float32Array.of(-1) });
  });

  it('of another callback is refused', () => {
    const list = new CallbackList([earlyStopping()]);
    expect(() => list.loadState({ values: { earlyStopping: { wait: 'x' } }, tensors: {} })).toThrow(
      /earlyStopping does not fit/,
    );
    const values = { wait: 1, best: 1, bestEpoch: 0, stoppedEpoch: null, weights: 1 };
    expect(() => list.loadState({ values: { earlyStopping: values }, tensors: {} })).toThrow(/best\/0/);
  });
});

describe('History', () => {
  it('keeps the logs of each epoch through a resume, entries of some epochs in shorter lists', async () => {
    const history = new History();
    history.onEpochEnd(3, { loss: 2, val_loss: 1 });
    history.onEpochEnd(4, { loss: 1.5 });
    const resumed = new History();
    resumed.onTrainBegin();
    resumed.loadState(history.saveState());
    resumed.onEpochEnd(5, { loss: 1, val_loss: 0.5 });
    expect(resumed.epoch).toEqual([3, 4, 5]);
    expect(resumed.history).toEqual({ loss: [2, 1.5, 1], val_loss: [1, 0.5] });
  });

  it('begins anew with each training', () => {
    const history = new History();
    history.onEpochEnd(0, { loss: 1 });
    history.onTrainBegin();
    expect([history.epoch, history.history]).toEqual([[], {}]);
  });
});

describe('csvLogger', () => {
  let directory: string;
  let path: string;
  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), 'lockstep-csv-'));
    path = join(directory, 'logs', 'train.csv');
  });
  afterEach(() => rm(directory, { recursive: true, force: true }));

  const logs: Logs[] = [
    { loss: 0.5, accuracy: 0.25 },
    { loss: 1e-7, accuracy: 0.75, val_loss: 0.125 },
    { loss: Number.NaN, accuracy: 1, val_loss: 0.5 },
  ];
  // Validation was asked for but not done in the first epoch: its columns come last, as in Keras.
  const expected = [
    'epoch,accuracy,loss,val_accuracy,val_loss',
    '0,0.25,0.5,NA,NA',
    '1,0.75,1e-7,NA,0.125',
    '2,1,NaN,NA,0.5',
    '',
  ].join('\n');
  const written = () => readFile(path, 'utf8');

  it('writes a row per epoch in the columns of the first', async () => {
    await simulate(() => [csvLogger(path)], logs);
    expect(await written()).toBe(expected);
    await simulate(() => [csvLogger(path)], logs);
    expect(await written()).toBe(expected);
  });

  it('goes on below an earlier log with append, under the header that is there', async () => {
    await simulate(() => [csvLogger(path, { append: true })], logs);
    await simulate(() => [csvLogger(path, { append: true })], logs);
    const rows = expected.split('\n').slice(1).join('\n');
    expect(await written()).toBe(expected + rows);
  });

  it.each([{ append: false }, { append: true }])(
    'is cut back to its checkpoint on resume (%o)',
    async (options) => {
      const training = new FakeTraining();
      const before = options.append ? 'epoch,accuracy,loss,val_accuracy,val_loss\n7,1,1,1,1\n' : '';
      const list = new CallbackList([csvLogger(path, options)]);
      if (options.append) {
        await list.onTrainBegin(training);
        await writeFile(path, before);
      }
      await list.onTrainBegin(training);
      const states = [list.saveState()];
      for (const [epoch, entry] of logs.entries()) {
        await list.onEpochEnd(epoch, { ...entry }, training);
        states.push(list.saveState());
      }
      const whole = await written();
      expect(whole).toBe(before + (options.append ? expected.split('\n').slice(1).join('\n') : expected));
      for (const [epoch, state] of states.entries()) {
        const resumed = new CallbackList([csvLogger(path, options)]);
        await resumed.onTrainBegin(training);
        resumed.loadState(state);
        expect(await written()).toBe(whole);
        for (let next = epoch; next < logs.length; next++) {
          await resumed.onEpochEnd(next, { ...logs[next] }, training);
        }
        await resumed.onTrainEnd({}, training);
        expect(await written()).toBe(whole);
      }
    },
  );

  it('starts again where the log was lost, and quotes what needs it', async () => {
    const training = new FakeTraining();
    training.params = { ...training.params, validation: false };
    const list = new CallbackList([csvLogger(path, { separator: ';' })]);
    await list.onTrainBegin(training);
    await list.onEpochEnd(0, { 'a;b "c"': 1 }, training);
    const state = list.saveState();
    await rm(path);
    const resumed = new CallbackList([csvLogger(path, { separator: ';' })]);
    await resumed.onTrainBegin(training);
    resumed.loadState(state);
    await resumed.onEpochEnd(1, { 'a;b "c"': 2 }, training);
    expect(await written()).toBe('epoch;"a;b ""c"""\n1;2\n');
  });

  it('says at the beginning that the file cannot be written', async () => {
    await writeFile(join(directory, 'file'), '');
    const list = new CallbackList([csvLogger(join(directory, 'file', 'log.csv'))]);
    await expect(list.onTrainBegin(new FakeTraining())).rejects.toMatchObject({ code: 'CALLBACK_FAILED' });
  });
});
