import * as tf from '@tensorflow/tfjs';
import { z } from 'zod';
import { LockstepError } from '../../shared/errors.js';
import type { Callback, CallbackState, Logs, Training } from './callback.js';
import { float64, valuesOf } from './callback-state.js';

type TfjsHook<Args extends unknown[]> = (...args: [...Args, logs: tf.Logs, training: Training]) => unknown;

/** Hooks that `model.fit` does not have. They get Keras's arguments, with or without a name. */
const kerasHooks = [
  'onTrainBatchBegin',
  'onTrainBatchEnd',
  'onTestBegin',
  'onTestEnd',
  'onTestBatchBegin',
  'onTestBatchEnd',
  'onPredictBegin',
  'onPredictEnd',
  'onPredictBatchBegin',
  'onPredictBatchEnd',
] as const;
type KerasHooks = Pick<Callback, (typeof kerasHooks)[number]>;

/**
 * A callback as `model.fit` accepts it: a plain object of functions, a `tf.CustomCallback`, or an instance of a
 * class that extends `tf.Callback`, such as `tf.callbacks.earlyStopping()`. It may have Keras's further hooks.
 */
export interface TfjsCallback extends KerasHooks {
  /** A name makes it a callback of ours, whose hooks get other arguments. */
  readonly name?: undefined;
  onTrainBegin?: TfjsHook<[]>;
  onTrainEnd?: TfjsHook<[]>;
  onEpochBegin?: TfjsHook<[epoch: number]>;
  onEpochEnd?: TfjsHook<[epoch: number]>;
  onBatchBegin?: TfjsHook<[batch: number]>;
  onBatchEnd?: TfjsHook<[batch: number]>;
  onYield?: (epoch: number, batch: number, logs: tf.Logs) => unknown;
  setParams?(params: Record<string, unknown>): void;
  saveState?(): CallbackState;
  loadState?(state: CallbackState): void;
}

/** What `fit` accepts as `callbacks`. */
export type CallbackOption = Callback | TfjsCallback;

/** Ours carry a name; those of `model.fit` do not. */
function isOurs(callback: CallbackOption): callback is Callback {
  return typeof callback.name === 'string';
}

/**
 * Callbacks as given to `fit`, all as ours.
 * @param model what `tf.Callback`s know as `this.model`; setting its `stopTraining` ends the run
 * @throws LockstepError BAD_OPTION for what is no object
 */
export function callbacksOf(
  given: CallbackOption | readonly CallbackOption[] | undefined,
  model?: tf.LayersModel,
): Callback[] {
  const list: readonly CallbackOption[] = Array.isArray(given) ? given : given === undefined ? [] : [given];
  return list.map((callback, index) => {
    if (typeof callback !== 'object' || callback === null) {
      throw new LockstepError('BAD_OPTION', `callbacks[${index}] is no object, but ${String(callback)}`, {
        hint: "Give objects with Keras's hooks, such as { onEpochEnd(epoch, logs, training) { … } }.",
      });
    }
    return isOurs(callback) ? callback : fromTfjsCallback(callback, model);
  });
}

/**
 * Adapts a callback of `model.fit`. The hooks get what `model.fit` gives them, and the `Training` after it. Setting
 * `stopTraining` on `model`, as callbacks of `model.fit` do, ends the run. The state of
 * `tf.callbacks.earlyStopping()` travels in checkpoints; what other callbacks remember is their own, unless they
 * have `saveState` and `loadState`.
 */
export function fromTfjsCallback(callback: TfjsCallback, model?: tf.LayersModel): Callback {
  const target = (model ?? {}) as StopFlag;
  const watched = async (result: unknown, training: Training): Promise<void> => {
    await result;
    if (readStop(target)) training.stopTraining = true;
  };
  const call = (hook: ((...args: never[]) => unknown) | undefined, args: unknown[], training: Training) =>
    watched(hook?.apply(callback, [...args, training] as never[]), training);
  let epoch = 0;

  return {
    name: 'tfjs',
    ...stateOf(callback),
    ...kerasHooksOf(callback),

    async onTrainBegin(training) {
      const { params } = training;
      target.stopTraining = false;
      if (callback instanceof tf.Callback) callback.model = (model ?? target) as tf.LayersModel;
      callback.setParams?.({ ...params, initialEpoch: training.epoch, verbose: 0 });
      await call(callback.onTrainBegin, [{}], training);
    },

    onTrainEnd: (logs, training) => call(callback.onTrainEnd, [{ ...logs }], training),

    async onEpochBegin(begun, training) {
      epoch = begun;
      await call(callback.onEpochBegin, [begun, {}], training);
    },

    // The very object: a callback may add entries.
    onEpochEnd: (ended, logs, training) => call(callback.onEpochEnd, [ended, logs], training),

    async onTrainBatchBegin(batch, training) {
      await call(callback.onBatchBegin, [batch, { batch }], training);
      await watched(callback.onTrainBatchBegin?.(batch, training), training);
    },

    async onTrainBatchEnd(batch, logs, training) {
      const batchLogs: Logs = { batch, ...logs };
      await call(callback.onBatchEnd, [batch, batchLogs], training);
      await call(callback.onYield, [epoch, batch, batchLogs], training);
      await watched(callback.onTrainBatchEnd?.(batch, logs, training), training);
    },
  };
}

function kerasHooksOf(callback: TfjsCallback): KerasHooks {
  const given = kerasHooks.filter((hook) => callback[hook] !== undefined);
  return Object.fromEntries(given.map((hook) => [hook, callback[hook]?.bind(callback as never)]));
}

/** `stopTraining` of a LayersModel is write-only; its value is kept in `stopTraining_`. */
interface StopFlag {
  stopTraining?: boolean;
  stopTraining_?: boolean;
}

function readStop(target: StopFlag): boolean {
  return target.stopTraining_ ?? target.stopTraining ?? false;
}

const earlyStoppingValues = z.strictObject({ wait: z.int(), stoppedEpoch: z.int(), best: float64 });

function stateOf(callback: TfjsCallback): Pick<Callback, 'saveState' | 'loadState'> {
  if (callback instanceof tf.EarlyStopping) {
    // Private to TypeScript alone.
    const fields = callback as unknown as z.infer<typeof earlyStoppingValues>;
    return {
      saveState: () => ({
        values: { wait: fields.wait, stoppedEpoch: fields.stoppedEpoch, best: fields.best },
      }),
      loadState(state) {
        Object.assign(callback, valuesOf('tf.EarlyStopping', earlyStoppingValues, state));
      },
    };
  }
  if (callback.saveState === undefined || callback.loadState === undefined) return {};
  return { saveState: callback.saveState.bind(callback), loadState: callback.loadState.bind(callback) };
}
