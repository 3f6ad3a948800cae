import * as tf from '@tensorflow/tfjs';
import { beforeAll, describe, expect, it } from 'vitest';
import { CallbackList } from '../../coordinator/callbacks/callback-list.js';
import { lambdaCallback } from '../../coordinator/callbacks/lambda-callback.js';
import { type CallbackOption, callbacksOf } from '../../coordinator/callbacks/tfjs-callback.js';
import { FakeTraining, logsOf, simulate } from './callback-training.js';

beforeAll(async () => {
  await tf.setBackend('cpu');
});

const compiled = () => {
  const model = tf.sequential({ layers: [tf.layers.dense({ inputShape: [1], units: 1 })] });
  model.compile({ optimizer: 'sgd', loss: 'meanSquaredError' });
  return model;
};

describe('callbacks as model.fit takes them', () => {
  it('are called as model.fit calls them', async () => {
    const recorder = () => {
      const calls: unknown[][] = [];
      const record =
        (hook: string) =>
        async (...args: unknown[]) => {
          const names = args.filter((arg) => !(arg instanceof FakeTraining));
          calls.push([hook, ...names.map((arg) => (typeof arg === 'object' ? 'logs' : arg))]);
        };
      const hooks: tf.CustomCallbackArgs = {
        onTrainBegin: record('onTrainBegin'),
        onTrainEnd: record('onTrainEnd'),
        onEpochBegin: record('onEpochBegin'),
        onEpochEnd: record('onEpochEnd'),
        onBatchBegin: record('onBatchBegin'),
        onBatchEnd: record('onBatchEnd'),
      };
      return { calls, hooks };
    };
    const plain = recorder();
    await compiled().fit(tf.ones([16, 1]), tf.ones([16, 1]), {
      epochs: 2,
      batchSize: 8,
      verbose: 0,
      callbacks: plain.hooks,
    });
    for (const wrap of [(hooks: tf.CustomCallbackArgs) => hooks, customCallback]) {
      const ours = recorder();
      await simulate(() => callbacksOf(wrap(ours.hooks)), logsOf('loss', [2, 1]));
      expect(ours.calls).toEqual(plain.calls);
    }
  });

  it('get the logs, and the training after them', async () => {
    const seen: unknown[] = [];
    const training = new FakeTraining();
    const callback: CallbackOption = {
      onEpochEnd: (epoch, logs, given) => {
        seen.push(epoch, logs.val_loss, given === training);
      },
    };
    await simulate(() => callbacksOf([callback]), logsOf('val_loss', [7]), { training });
    expect(seen).toEqual([0, 7, true]);
  });

  it('stop the run as tf.callbacks.earlyStopping does', async () => {
    const { rows } = await simulate(
      () => callbacksOf(tf.callbacks.earlyStopping({ patience: 2 })),
      logsOf('val_loss', [3, 2, 2, 2, 1]),
    );
    expect(rows).toHaveLength(4);
  });

  it('stop the run by setting stopTraining on the model, in an epoch or a batch', async () => {
    const model = compiled();
    const stopAt = (wanted: number) => ({
      onEpochEnd: (epoch: number) => {
        if (epoch === wanted) model.stopTraining = true;
      },
    });
    const logs = logsOf('loss', [1, 1, 1, 1]);
    for (const epoch of [2, 1]) {
      const { rows } = await simulate(() => callbacksOf(stopAt(epoch), model), logs);
      expect(rows).toHaveLength(epoch + 1);
    }
    const inBatch = {
      onBatchEnd: async () => {
        model.stopTraining = true;
      },
    };
    expect((await simulate(() => callbacksOf(inBatch, model), logs)).rows).toHaveLength(1);
  });

  it('know the model and the parameters of the run', async () => {
    class Curious extends tf.Callback {
      known: unknown[] = [];
      override async onTrainBegin() {
        this.known = [this.model.countParams(), this.params.epochs];
      }
    }
    const curious = new Curious();
    await simulate(() => callbacksOf(curious, compiled()), []);
    expect(curious.known).toEqual([2, 100]);
  });

  it("may have Keras's further hooks", async () => {
    const calls: unknown[][] = [];
    const training = new FakeTraining();
    const callback: CallbackOption = {
      onTrainBatchBegin: (...args) => void calls.push(['onTrainBatchBegin', ...args]),
      onTrainBatchEnd: (...args) => void calls.push(['onTrainBatchEnd', ...args]),
      onTestBegin: (...args) => void calls.push(['onTestBegin', ...args]),
      onPredictBatchEnd: (...args) => void calls.push(['onPredictBatchEnd', ...args]),
    };
    const list = new CallbackList(callbacksOf(callback));
    await list.onTrainBatchBegin(1, training);
    await list.onTrainBatchEnd(1, { loss: 2 }, training);
    await list.onTestBegin(training);
    await list.onTestEnd({}, training);
    await list.onPredictBatchEnd(3, training);
    expect(calls).toEqual([
      ['onTrainBatchBegin', 1, training],
      ['onTrainBatchEnd', 1, { loss: 2 }, training],
      ['onTestBegin', training],
      ['onPredictBatchEnd', 3, training],
    ]);
  });

  it.each([['earlyStopping'], [null]])('are refused if they are no objects: %s', (given) => {
    expect(() => callbacksOf([{}, given] as never)).toThrow(
      expect.objectContaining({ code: 'BAD_OPTION', message: expect.stringContaining('callbacks[1]') }),
    );
  });

  it('stand beside ours', () => {
    const ours = lambdaCallback({});
    const [first, second] = callbacksOf([ours, {}]);
    expect([first === ours, second.name]).toEqual([true, 'tfjs']);
    expect(callbacksOf(undefined)).toEqual([]);
    expect(callbacksOf(ours)).toEqual([ours]);
  });
});

function customCallback(hooks: tf.CustomCallbackArgs): tf.CustomCallback {
  return new tf.CustomCallback(hooks, 'never');
}
