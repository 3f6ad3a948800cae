import { describe, expect, it } from 'vitest';
import { type EarlyStoppingOptions, earlyStopping } from '../../coordinator/callbacks/early-stopping.js';
import { learningRateScheduler } from '../../coordinator/callbacks/learning-rate-scheduler.js';
import {
  type ReduceLROnPlateauOptions,
  reduceLROnPlateau,
} from '../../coordinator/callbacks/reduce-lr-on-plateau.js';
import { terminateOnNaN } from '../../coordinator/callbacks/terminate-on-nan.js';
import { FakeTraining, logsOf, simulate } from './callback-training.js';

/*
 * The expected epochs and rates were worked out by hand from keras/src/callbacks/*.py.
 */

async function stopping(options: EarlyStoppingOptions, values: number[], monitor = 'val_loss') {
  const { rows, training } = await simulate(
    () => [earlyStopping({ monitor, ...options })],
    logsOf(monitor, values),
  );
  return { epochs: rows.length, weights: training.weights[0][0], training };
}

describe('earlyStopping', () => {
  it('stops when the loss has not improved for `patience` epochs', async () => {
    // wait: 0 (5), 0 (4), 1 (4), 0 (3), 1 (3.5), 2 (3) → stop after the sixth.
    expect((await stopping({ patience: 2 }, [5, 4, 4, 3, 3.5, 3, 1, 1])).epochs).toBe(6);
  });

  it('never stops after the first epoch alone, even with patience 0', async () => {
    expect((await stopping({}, [Number.NaN, Number.NaN, 1])).epochs).toBe(2);
    expect((await stopping({}, [2, 2, 2])).epochs).toBe(2);
  });

  it('counts an improvement by more than minDelta only, whatever its sign', async () => {
    for (const minDelta of [0.5, -0.5]) {
      // best 5; 4.6 waits; 4.4 is the best; 4 waits; 3.75 is the best; 3.7 and 3.5 wait → stop.
      const values = [5, 4.6, 4.4, 4, 3.75, 3.7, 3.5, 1, 1];
      expect((await stopping({ minDelta, patience: 2 }, values)).epochs).toBe(7);
      // Exactly minDelta is not enough.
      expect((await stopping({ minDelta, patience: 1 }, [2, 1.5, 1])).epochs).toBe(2);
    }
  });

  it.each([
    ['val_accuracy', true],
    ['auc', true],
    ['val_out_top_k_categorical_accuracy', true],
    ['topKCategoricalAccuracy', true],
    ['val_acc', true],
    ['precision', true],
    ['loss', false],
    ['val_out_meanSquaredError', false],
    ['mean_absolute_error', false],
    ['val_mae', false],
    ['sparse_categorical_crossentropy', false],
    ['huber', false],
  ])('auto mode knows whether more %s is better', async (monitor, more) => {
    const rising = await stopping({}, [1, 2, 3, 4], monitor);
    const falling = await stopping({}, [4, 3, 2, 1], monitor);
    expect([rising.epochs, falling.epochs]).toEqual(more ? [4, 2] : [2, 4]);
  });

  it('does not guess the direction of a metric it does not know', () => {
    expect(() => earlyStopping({ monitor: 'val_happiness' })).toThrow(/larger val_happiness is better/);
    expect(() => earlyStopping({ monitor: 'val_happiness', mode: 'max' })).not.toThrow();
  });

  it('waits on, though improving, until it beats the baseline', async () => {
    // Below 1 is asked for: 5 and 4 improve on the best, yet wait reaches 2 at the first epoch without improvement.
    expect((await stopping({ baseline: 1, patience: 3 }, [5, 4, 4, 0.5])).epochs).toBe(3);
    // Beating the baseline resets the waiting.
    expect((await stopping({ baseline: 1, patience: 3 }, [5, 0.9, 2, 2, 2, 0])).epochs).toBe(5);
  });

  it('ignores the epochs before startFromEpoch', async () => {
    expect((await stopping({ startFromEpoch: 3 }, [1, 2, 3, 9, 8, 8, 7])).epochs).toBe(6);
  });

  it('restores the weights of the best epoch, also when training was not stopped', async () => {
    expect(await stopping({ patience: 2, restoreBestWeights: true }, [3, 1, 2, 2])).toMatchObject({
      epochs: 4,
      weights: 1,
    });
    expect(await stopping({ patience: 9, restoreBestWeights: true }, [3, 1, 2])).toMatchObject({
      epochs: 3,
      weights: 1,
    });
    expect(await stopping({ patience: 9 }, [3, 1, 2])).toMatchObject({ weights: 2 });
  });

  it('restores the best of the epochs it watched though none beat the baseline', async () => {
    const result = await stopping({ baseline: 0, patience: 2, restoreBestWeights: true }, [5, 4, 6, 7]);
    expect(result).toMatchObject({ epochs: 3, weights: 1 });
  });

  it('says once that the monitor is missing, and lets training go on', async () => {
    const { rows, training } = await simulate(() => [earlyStopping()], logsOf('loss', [1, 1, 1]));
    expect(rows).toHaveLength(3);
    expect(training.printed).toEqual(['val_loss is not available (loss): early stopping does nothing']);
  });
});

describe('reduceLROnPlateau', () => {
  const rates = async (options: ReduceLROnPlateauOptions, values: number[]) => {
    const training = new FakeTraining();
    training.learningRate = 1;
    const { rows } = await simulate(() => [reduceLROnPlateau(options)], logsOf('val_loss', values), {
      training,
    });
    return { rates: rows.map((row) => row.learningRate), rows };
  };

  it('multiplies the rate after `patience` epochs without improvement', async () => {
    // wait: 0, 1, 2 → reduce, 1, 2 → reduce, 0, 1
    const { rates: found } = await rates({ factor: 0.5, patience: 2 }, [3, 3, 3, 3, 3, 2, 2]);
    expect(found).toEqual([1, 1, 0.5, 0.5, 0.25, 0.25, 0.25]);
  });

  it('waits for the cooldown to pass', async () => {
    // After the reduction in epoch 1 the cooldown of 2 makes epoch 2 (1 left) not count; epoch 3 (0 left) counts.
    const { rates: found } = await rates({ factor: 0.5, patience: 1, cooldown: 2 }, [3, 3, 3, 3, 3, 3, 3]);
    expect(found).toEqual([1, 0.5, 0.5, 0.25, 0.25, 0.125, 0.125]);
  });

  it('never goes below minLr', async () => {
    const { rates: found } = await rates({ factor: 0.1, patience: 1, minLr: 0.05 }, [3, 3, 3, 3]);
    expect(found).toEqual([1, 0.1, 0.05, 0.05]);
  });

  it('takes a change of less than 1e-4 for none', async () => {
    expect((await rates({ factor: 0.5, patience: 1 }, [1, 0.99995, 0.9998])).rates).toEqual([1, 0.5, 0.5]);
  });

  it('logs the rate that the epoch was trained with', async () => {
    const { rows } = await rates({ factor: 0.5, patience: 1 }, [1, 1, 1]);
    expect(rows.map(({ logs }) => logs.learning_rate)).toEqual([1, 1, 0.5]);
  });

  it('refuses a factor that does not reduce', () => {
    expect(() => reduceLROnPlateau({ factor: 1 })).toThrow(/factor 1/);
  });
});

describe('learningRateScheduler', () => {
  it('sets the rate at the beginning of each epoch from the present one, and logs it', async () => {
    const { rows } = await simulate(
      () => [learningRateScheduler((epoch, rate) => (epoch < 2 ? rate : rate / 2))],
      logsOf('loss', [1, 1, 1, 1]),
    );
    expect(rows.map(({ logs }) => logs.learning_rate)).toEqual([0.1, 0.1, 0.05, 0.025]);
  });

  it('refuses what is not a rate', async () => {
    await expect(
      simulate(() => [learningRateScheduler(() => Number.NaN)], logsOf('loss', [1])),
    ).rejects.toMatchObject({ code: 'BAD_OPTION' });
  });
});

describe('terminateOnNaN', () => {
  it.each([Number.NaN, Number.POSITIVE_INFINITY])('stops after a batch whose loss is %d', async (loss) => {
    const { rows, training } = await simulate(() => [terminateOnNaN()], [{ loss: 1 }, { loss }, { loss: 1 }]);
    expect(rows).toHaveLength(2);
    expect(training.printed[0]).toContain('Batch 0');
  });
});
