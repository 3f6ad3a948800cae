import { beforeAll, describe, expect, it } from 'vitest';
import type { Callback, Logs } from '../../coordinator/callbacks/callback.js';
import { terminateOnNaN } from '../../coordinator/callbacks/terminate-on-nan.js';
import type { Dataset } from '../../coordinator/data/dataset.js';
import { sgd } from '../../coordinator/optimizer/configs.js';
import { recorder } from './hook-recorder.js';
import {
  batchSize,
  datasetOf,
  features,
  plainModel,
  rows,
  stepsPerEpoch,
  type Trained,
  type TrainingRun,
  tinyData,
  trainOn,
  watched,
} from './tiny-training.js';

const batches = (count: number, name = 'batch'): string[] =>
  Array.from({ length: count }, (_, batch) => [`${name} begin ${batch}`, `${name} end ${batch}`]).flat();

const two = { workers: 2 };
const validation = tinyData(20);

describe('the hooks of callbacks', () => {
  it('are called in the order of Keras, batches counted from 0 in every epoch', async () => {
    const { callback, calls } = recorder();
    await trainOn(two, { epochs: 2, validation, callbacks: [callback] });
    // keras/src/backend/*/trainer.py, fit(): validation lies between the last batch and the end of the epoch.
    const epoch = (number: number): string[] => [
      `epoch begin ${number}`,
      ...batches(stepsPerEpoch),
      'test begin',
      ...batches(2, 'test batch'),
      'test end',
      `epoch end ${number}`,
    ];
    expect(calls).toEqual(['train begin', ...epoch(0), ...epoch(1), 'train end']);
  });

  it('do not end an epoch that maxSteps interrupts', async () => {
    const { callback, calls } = recorder();
    const { outcome } = await trainOn(two, { maxSteps: 6, callbacks: [callback] });
    expect(calls).toEqual([
      'train begin',
      'epoch begin 0',
      ...batches(stepsPerEpoch),
      'epoch end 0',
      'epoch begin 1',
      ...batches(2),
      'train end',
    ]);
    expect(outcome).toMatchObject({ cause: 'done', position: { step: 6, epoch: 1, batch: 2 } });
    expect(outcome.history.epoch).toEqual([0]);
  });

  it('see between commits what is committed', async () => {
    const seen: number[] = [];
    const lengths = new Set<number>();
    const callback: Callback = {
      name: 'observer',
      onTrainBatchEnd(_batch, _logs, training) {
        seen.push(training.step);
        lengths.add(training.getWeights().length);
      },
    };
    await trainOn(two, { epochs: 1, callbacks: [callback] });
    expect(seen).toEqual([1, 2, 3, 4]);
    // Two dense layers of 2 weights, batch normalisation of 4.
    expect([...lengths]).toEqual([8]);
  });

  it('end the run with the callback and the hook named, when one throws', async () => {
    const callback: Callback = {
      name: 'clumsy',
      onTrainBatchEnd(batch) {
        if (batch === 2) throw new RangeError('off by one');
      },
    };
    await expect(trainOn(two, { callbacks: [callback] })).rejects.toMatchObject({
      code: 'CALLBACK_FAILED',
      message: expect.stringMatching(/clumsy.*onTrainBatchEnd|onTrainBatchEnd.*clumsy/),
    });
  });

  it('can set weights, which the next step starts from', async () => {
    const zero: Callback = {
      name: 'zero',
      onTrainBatchEnd(_batch, _logs, training) {
        training.setWeights(training.getWeights().map((weight) => weight.fill(0)));
      },
    };
    const logs: Logs[] = [];
    await trainOn(two, {
      maxSteps: 3,
      shuffle: false,
      optimizer: sgd({ learningRate: 0 }),
      callbacks: [zero, { name: 'logs', onTrainBatchEnd: (_batch, own) => void logs.push(own) }],
    });
    // All weights 0 give 0 for every row: the loss of the second batch is the mean of y².
    const { y } = await tinyData().batch(Int32Array.from({ length: 32 }, (_, i) => i));
    const meanSquare = (lo: number): number =>
      Array.from(y[0].data.slice(lo, lo + 16)).reduce((sum, value) => sum + value ** 2 / 16, 0);
    const lossOfSecond = 2 * logs[1].loss - logs[0].loss;
    expect(lossOfSecond).toBeCloseTo(meanSquare(16), 5);
  });

  it('can set a learning rate, which stays', async () => {
    const still: Callback = {
      name: 'still',
      onTrainBatchEnd(batch, _logs, training) {
        if (batch === 1) training.learningRate = 0;
      },
    };
    const { outcome, steps } = await trainOn(two, {
      epochs: 1,
      model: plainModel(),
      optimizer: sgd({ learningRate: 0.1 }),
      callbacks: [still],
    });
    expect(outcome.position.step).toBe(4);
    // Without batch normalisation a rate of 0 changes nothing.
    expect(steps[1]).not.toBe(steps[0]);
    expect(steps.slice(2)).toEqual([steps[1], steps[1]]);
  });
});

describe('the end of training', () => {
  const stopAt = (hook: 'onTrainBatchEnd' | 'onEpochEnd', at: number): Callback => ({
    name: 'stop',
    [hook]: (index: number, _logs: Logs, training: { stopTraining: boolean }) => {
      if (index === at) training.stopTraining = true;
    },
  });

  it('comes after the batch in which stopTraining is set, with the end of its epoch', async () => {
    const { callback, calls } = recorder();
    const { outcome } = await trainOn(two, { callbacks: [stopAt('onTrainBatchEnd', 1), callback] });
    expect(calls.slice(-4)).toEqual(['batch begin 1', 'batch end 1', 'epoch end 0', 'train end']);
    expect(outcome).toMatchObject({ cause: 'stopped-early', position: { step: 2, epoch: 1 } });
    expect(outcome.history.history.loss).toHaveLength(1);
  });

  it('comes after the epoch in which stopTraining is set', async () => {
    const { outcome } = await trainOn(two, { callbacks: [stopAt('onEpochEnd', 2)] });
    expect(outcome).toMatchObject({
      cause: 'stopped-early',
      position: { step: 3 * stepsPerEpoch, epoch: 3 },
    });
  });

  it('is done after the last epoch', async () => {
    const { outcome } = await trainOn(two, { epochs: 2 });
    expect(outcome).toMatchObject({
      cause: 'done',
      position: { step: 8, epoch: 2, batch: 0, samplesSeen: 2 * rows },
    });
  });
});

describe('what is not finite', () => {
  /** Row 40 is beyond float32 once it is squared; batches are not shuffled, so it is in the third. */
  const extreme = (): Dataset => {
    const x = new Float32Array(rows * features).fill(1);
    const y = new Float32Array(rows).fill(1);
    y[40] = 3e38;
    return datasetOf(
      { dtype: 'float32', shape: [rows, features], data: x },
      { dtype: 'float32', shape: [rows, 1], data: y },
    );
  };
  const run = (): TrainingRun => ({ train: extreme(), shuffle: false, model: plainModel() });

  it('stops the run, names what it is, and leaves the weights of the step before', async () => {
    const steps: string[] = [];
    const onReceipt: TrainingRun['onReceipt'] = (line) => void ('data' in line && steps.push(line.weights));
    const failing = trainOn(two, { ...run(), onReceipt });
    await expect(failing).rejects.toMatchObject({
      code: 'NOT_FINITE',
      message: expect.stringContaining('step 3 is not finite'),
    });
    expect(steps).toHaveLength(2);
  });

  it('ends the run gracefully with terminateOnNaN: the epoch shows what ended it', async () => {
    const { callback, calls } = recorder();
    const trained = await trainOn(two, { ...run(), callbacks: [terminateOnNaN(), callback] });
    expect(trained.outcome).toMatchObject({ cause: 'stopped-early', position: { step: 2 } });
    expect(trained.steps).toHaveLength(2);
    expect(trained.weightsDigest).toBe(trained.steps[1]);
    expect(calls.slice(-3)).toEqual(['batch end 2', 'epoch end 0', 'train end']);
    const { loss } = trained.outcome.history.history;
    expect(loss).toHaveLength(1);
    expect(Number.isFinite(loss[0])).toBe(false);
  });
});

describe('epochs and steps', () => {
  let whole: Trained;

  beforeAll(async () => {
    whole = await trainOn(two, { epochs: 3 });
  });

  it('begin at initialEpoch, with the data of that epoch', async () => {
    const order = async (initialEpoch: number): Promise<{ read: number[]; epochs: number[] }> => {
      const read: number[] = [];
      const train = watched(tinyData(), (indices) => read.push(...indices));
      const { outcome } = await trainOn(two, { train, epochs: 3, initialEpoch });
      return { read, epochs: outcome.history.epoch };
    };
    const all = await order(0);
    const last = await order(2);
    expect(last.epochs).toEqual([2]);
    expect(last.read).toEqual(all.read.slice(2 * rows));
    // Every epoch reads every row once, in another order.
    for (const epoch of [0, 1, 2]) {
      expect(new Set(all.read.slice(epoch * rows, (epoch + 1) * rows)).size).toBe(rows);
    }
    expect(all.read.slice(0, rows)).not.toEqual(all.read.slice(rows, 2 * rows));
  });

  it('have at most stepsPerEpoch steps', async () => {
    const { outcome, steps } = await trainOn(two, { epochs: 3, stepsPerEpoch: 2 });
    expect(outcome.position).toMatchObject({ step: 6, epoch: 3, samplesSeen: 6 * batchSize });
    expect(steps.slice(0, 2)).toEqual(whole.steps.slice(0, 2));
  });

  it.each([
    ['0 epochs', { epochs: 0 }],
    ['half an epoch', { epochs: 1.5 }],
    ['no shards', { shards: 0 }],
    ['a batch of no rows', { batchSize: 0 }],
    ['no steps per epoch', { stepsPerEpoch: 0 }],
    ['half a step per epoch', { stepsPerEpoch: 1.5 }],
    ['a beginning after the end', { initialEpoch: 5, epochs: 5 }],
    ['validation every 0 epochs', { validationFreq: 0 }],
  ])('are refused before anything starts: %s', async (_what, options) => {
    await expect(trainOn({ workers: 1 }, options)).rejects.toMatchObject({ code: 'BAD_OPTION' });
  });
});

describe('data that does not fit the model', () => {
  it.each([
    ['inputs', features + 1, 1],
    ['targets', features, 2],
  ])('ends the run before its first step: %s of another shape', async (_what, width, outputs) => {
    const train = datasetOf(
      { dtype: 'float32', shape: [rows, width], data: new Float32Array(rows * width) },
      { dtype: 'float32', shape: [rows, outputs], data: new Float32Array(rows * outputs) },
    );
    await expect(trainOn(two, { train })).rejects.toMatchObject({ code: 'SHAPE_MISMATCH' });
  });
});
