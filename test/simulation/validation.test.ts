import * as tf from '@tensorflow/tfjs';
import { describe, expect, it } from 'vitest';
import { sgd } from '../../coordinator/optimizer/configs.js';
import type { HostTensor } from '../../shared/tensors.js';
import { recorder } from './hook-recorder.js';
import { plainModel, tinyData, trainOn } from './tiny-training.js';

const two = { workers: 2 };
const validation = tinyData(20);

const tensorOf = ({ data, shape }: HostTensor): tf.Tensor => tf.tensor(data, [...shape]);

describe('validation', () => {
  it('logs val_ names for the weights at the end of the epoch', async () => {
    const { outcome } = await trainOn(two, {
      epochs: 2,
      validation,
      model: plainModel(),
      optimizer: sgd({ learningRate: 0 }),
    });
    const { history } = outcome.history;
    expect(Object.keys(history).sort()).toEqual(['loss', 'mae', 'val_loss', 'val_mae']);
    // Nothing moves, so both epochs have the loss of the initial weights, as plain TensorFlow.js gives it.
    const { x, y } = await validation.batch(Int32Array.from({ length: 20 }, (_, i) => i));
    const predicted = plainModel().predict(tensorOf(x[0])) as tf.Tensor;
    const errors = predicted.sub(tensorOf(y[0]));
    expect(history.val_loss).toHaveLength(2);
    for (const loss of history.val_loss)
      expect(loss).toBeCloseTo(errors.square().mean().arraySync() as number, 5);
    for (const mae of history.val_mae) expect(mae).toBeCloseTo(errors.abs().mean().arraySync() as number, 5);
  });

  it.each([
    ['every second epoch', 2, [2, 4]],
    ['the epochs that are listed, counted from 1', [1, 4, 5], [1, 4, 5]],
  ])('runs after %s', async (_when, validationFreq, expected) => {
    const { callback, calls } = recorder();
    const { outcome } = await trainOn(two, { epochs: 5, validation, validationFreq, callbacks: [callback] });
    const validated: number[] = [];
    for (const [i, call] of calls.entries()) {
      if (call.startsWith('epoch end') && calls[i - 1] === 'test end')
        validated.push(Number(call.slice(10)) + 1);
    }
    expect(validated).toEqual(expected);
    expect(outcome.history.history.val_loss).toHaveLength(expected.length);
    expect(outcome.history.history.loss).toHaveLength(5);
  });

  it('has the same bits on any number of workers, and does not touch the training', async () => {
    const one = await trainOn({ workers: 1 }, { epochs: 2, validation });
    const three = await trainOn({ workers: 3, seed: 5 }, { epochs: 2, validation });
    const without = await trainOn(two, { epochs: 2 });
    expect(three.outcome.history.history).toEqual(one.outcome.history.history);
    expect(three.stateSha256).toBe(one.stateSha256);
    expect(three.weightsSha256).toBe(without.weightsSha256);
  });
});
