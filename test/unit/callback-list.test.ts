import { describe, expect, it } from 'vitest';
import type { Callback } from '../../coordinator/callbacks/callback.js';
import { CallbackList } from '../../coordinator/callbacks/callback-list.js';
import { History } from '../../coordinator/callbacks/history.js';
import { lambdaCallback } from '../../coordinator/callbacks/lambda-callback.js';
import { invariant, LockstepError } from '../../shared/errors.js';
import { FakeTraining } from './callback-training.js';

const training = new FakeTraining();

describe('CallbackList', () => {
  it('calls each hook with its arguments, in order, each awaited before the next', async () => {
    const calls: unknown[][] = [];
    const recorder = (name: string): Callback =>
      new Proxy({ name } as Callback, {
        get: (target, hook: string) => {
          if (!hook.startsWith('on')) return Reflect.get(target, hook);
          return async (...args: unknown[]) => {
            calls.push([name, 'begins', hook, ...args]);
            await new Promise(setImmediate);
            calls.push([name, 'ends', hook]);
          };
        },
      });
    const list = new CallbackList([recorder('a'), recorder('b')]);
    const logs = { loss: 1 };
    const hooks: [hook: string, args: unknown[], call: () => Promise<void>][] = [
      ['onTrainBegin', [training], () => list.onTrainBegin(training)],
      ['onTrainEnd', [logs, training], () => list.onTrainEnd(logs, training)],
      ['onEpochBegin', [1, training], () => list.onEpochBegin(1, training)],
      ['onEpochEnd', [1, logs, training], () => list.onEpochEnd(1, logs, training)],
      ['onTrainBatchBegin', [2, training], () => list.onTrainBatchBegin(2, training)],
      ['onTrainBatchEnd', [2, logs, training], () => list.onTrainBatchEnd(2, logs, training)],
      ['onTestBegin', [training], () => list.onTestBegin(training)],
      ['onTestEnd', [logs, training], () => list.onTestEnd(logs, training)],
      ['onTestBatchBegin', [3, training], () => list.onTestBatchBegin(3, training)],
      ['onTestBatchEnd', [3, logs, training], () => list.onTestBatchEnd(3, logs, training)],
      ['onPredictBegin', [training], () => list.onPredictBegin(training)],
      ['onPredictEnd', [training], () => list.onPredictEnd(training)],
      ['onPredictBatchBegin', [4, training], () => list.onPredictBatchBegin(4, training)],
      ['onPredictBatchEnd', [4, training], () => list.onPredictBatchEnd(4, training)],
    ];
    for (const [hook, args, call] of hooks) {
      calls.length = 0;
      await call();
      expect(calls).toEqual([
        ['a', 'begins', hook, ...args],
        ['a', 'ends', hook],
        ['b', 'begins', hook, ...args],
        ['b', 'ends', hook],
      ]);
    }
  });

  it('lets later callbacks see what earlier ones add to the logs of an epoch', async () => {
    const history = new History();
    const adder = lambdaCallback({
      onEpochEnd: (_, logs) => {
        logs.extra = 2;
      },
    });
    await new CallbackList([adder, history]).onEpochEnd(0, { loss: 1 }, training);
    expect(history.history).toEqual({ loss: [1], extra: [2] });
  });

  it('names the callback and the hook that threw', async () => {
    const failing = lambdaCallback({
      name: 'mine',
      onEpochEnd: async () => {
        throw new RangeError('oh no');
      },
      saveState: () => {
        throw new RangeError('not this either');
      },
    });
    const list = new CallbackList([lambdaCallback({ name: 'mine' }), failing]);
    await expect(list.onEpochEnd(0, {}, training)).rejects.toMatchObject({
      code: 'CALLBACK_FAILED',
      message: 'callback mine#1 threw in onEpochEnd: oh no',
      cause: expect.any(RangeError),
    });
    expect(() => list.saveState()).toThrow('callback mine#1 threw in saveState: not this either');
  });

  it('passes on errors that explain themselves, and bugs', async () => {
    const known = new LockstepError('BAD_OPTION', 'known', { hint: 'hint' });
    const listOf = (onTrainBegin: () => void) => new CallbackList([lambdaCallback({ onTrainBegin })]);
    const throwing = listOf(() => {
      throw known;
    });
    await expect(throwing.onTrainBegin(training)).rejects.toBe(known);
    const buggy = listOf(() => invariant(false, 'a bug'));
    await expect(buggy.onTrainBegin(training)).rejects.toMatchObject({ name: 'InvariantError' });
  });

  it.each([
    ['plain fields', { best: 1 }, 'no object with values'],
    ['fields beside values', { values: {}, best: 1 }, 'best outside of values'],
    ['undefined', { values: { best: { at: undefined } } }, 'values.best.at'],
    ['a date', { values: { seen: [new Date(0)] } }, 'values.seen.0'],
    ['a list as a tensor', { values: {}, tensors: { mean: [1] } }, 'tensors.mean'],
  ])('refuses %s as a state, and says what is wrong', (_what, state, message) => {
    const list = new CallbackList([{ name: 'mine', saveState: () => state as never }]);
    expect(() => list.saveState()).toThrow(
      expect.objectContaining({ code: 'CALLBACK_FAILED', message: expect.stringContaining(message) }),
    );
  });

  it('keeps numbers that JSON does not know', () => {
    const values = { best: Number.POSITIVE_INFINITY, rate: Number.NaN };
    const list = new CallbackList([{ name: 'mine', saveState: () => ({ values }) }]);
    expect(list.saveState().values).toEqual({ mine: values });
  });

  it('keeps the states of callbacks with equal or awkward names apart', () => {
    const counter = (name: string, count: number) => {
      const state: { count: number; tensor: Float32Array } = { count, tensor: Float32Array.of(count) };
      const callback = lambdaCallback({
        name,
        saveState: () => ({ values: { count: state.count }, tensors: { 'x/y': state.tensor } }),
        loadState: ({ values, tensors }) => {
          state.count = values.count as number;
          state.tensor = tensors!['x/y'];
        },
      });
      return { callback, state };
    };
    const names = ['a', 'a', 'a#1', 'a/x', 'a'];
    const before = names.map((name, index) => counter(name, index + 1));
    const after = names.map((name) => counter(name, 0));
    const saving = new CallbackList(before.map(({ callback }) => callback));
    expect(saving.keys).toEqual(['a', 'a#1', 'a#1#1', 'a/x', 'a#2']);
    new CallbackList(after.map(({ callback }) => callback)).loadState(saving.saveState());
    expect(after.map(({ state }) => state)).toEqual(before.map(({ state }) => state));
  });

  it('lets a callback that the checkpoint does not know start afresh', () => {
    const loaded: string[] = [];
    const named = (name: string) => lambdaCallback({ name, loadState: () => loaded.push(name) });
    const list = new CallbackList([named('known'), named('added')]);
    list.loadState({ values: { known: {}, removed: {} }, tensors: {} });
    expect(loaded).toEqual(['known']);
  });
});
