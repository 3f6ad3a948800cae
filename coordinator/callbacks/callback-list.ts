import { InvariantError, LockstepError, messageOf } from '../../shared/errors.js';
import type { Json } from '../../shared/json.js';
import type { Callback, CallbackState, Logs, Training } from './callback.js';
import { checkState } from './callback-state.js';

/** The state of all callbacks of a run, as a checkpoint keeps it. */
export interface CallbackStates {
  /** By callback key. */
  readonly values: Readonly<Record<string, CallbackState['values']>>;
  /** By `KEY/NAME`, the key percent-encoded. */
  readonly tensors: Readonly<Record<string, Float32Array>>;
}

type HookName = Extract<keyof Callback, `on${string}`>;
type HookArguments<H extends HookName> = Parameters<NonNullable<Callback[H]>>;

/**
 * Calls the callbacks of a run, in order, each awaited before the next.
 *
 * All hooks may throw LockstepError CALLBACK_FAILED, naming callback and hook; a callback's own LockstepError
 * passes through. A resumed run calls `onTrainBegin`, then `loadState`, and goes on in the middle: `onEpochBegin`
 * of the open epoch was called before the checkpoint and is not called again.
 */
export class CallbackList {
  /** Key of the state in checkpoints: the name, made unique. */
  readonly #callbacks = new Map<string, Callback>();

  constructor(callbacks: readonly Callback[]) {
    for (const callback of callbacks) {
      let key = callback.name;
      for (let n = 1; this.#callbacks.has(key); n++) key = `${callback.name}#${n}`;
      this.#callbacks.set(key, callback);
    }
  }

  get keys(): readonly string[] {
    return [...this.#callbacks.keys()];
  }

  onTrainBegin(training: Training): Promise<void> {
    return this.#call('onTrainBegin', training);
  }

  onTrainEnd(logs: Logs, training: Training): Promise<void> {
    return this.#call('onTrainEnd', logs, training);
  }

  onEpochBegin(epoch: number, training: Training): Promise<void> {
    return this.#call('onEpochBegin', epoch, training);
  }

  /** @param logs callbacks may add entries */
  onEpochEnd(epoch: number, logs: Logs, training: Training): Promise<void> {
    return this.#call('onEpochEnd', epoch, logs, training);
  }

  onTrainBatchBegin(batch: number, training: Training): Promise<void> {
    return this.#call('onTrainBatchBegin', batch, training);
  }

  onTrainBatchEnd(batch: number, logs: Logs, training: Training): Promise<void> {
    return this.#call('onTrainBatchEnd', batch, logs, training);
  }

  onTestBegin(training: Training): Promise<void> {
    return this.#call('onTestBegin', training);
  }

  onTestEnd(logs: Logs, training: Training): Promise<void> {
    return this.#call('onTestEnd', logs, training);
  }

  onTestBatchBegin(batch: number, training: Training): Promise<void> {
    return this.#call('onTestBatchBegin', batch, training);
  }

  onTestBatchEnd(batch: number, logs: Logs, training: Training): Promise<void> {
    return this.#call('onTestBatchEnd', batch, logs, training);
  }

  onPredictBegin(training: Training): Promise<void> {
    return this.#call('onPredictBegin', training);
  }

  onPredictEnd(training: Training): Promise<void> {
    return this.#call('onPredictEnd', training);
  }

  onPredictBatchBegin(batch: number, training: Training): Promise<void> {
    return this.#call('onPredictBatchBegin', batch, training);
  }

  onPredictBatchEnd(batch: number, training: Training): Promise<void> {
    return this.#call('onPredictBatchEnd', batch, training);
  }

  /**
   * Copies of the state of every callback that has any.
   * @throws LockstepError CALLBACK_FAILED if one gives what a checkpoint cannot keep
   */
  saveState(): CallbackStates {
    const values: Record<string, CallbackState['values']> = {};
    const tensors: Record<string, Float32Array> = {};
    for (const [key, callback] of this.#callbacks) {
      if (callback.saveState === undefined) continue;
      const state = attempt(key, 'saveState', () => callback.saveState?.());
      if (state === undefined) continue;
      checkState(key, state);
      values[key] = structuredClone(state.values) as Record<string, Json>;
      for (const [name, tensor] of Object.entries(state.tensors ?? {})) {
        tensors[`${encodeURIComponent(key)}/${name}`] = tensor.slice();
      }
    }
    return { values, tensors };
  }

  /**
   * Gives each callback its state back. One that the checkpoint does not know starts afresh.
   * @throws LockstepError CHECKPOINT_MISMATCH if a state is not of the callback of its name
   */
  loadState({ values, tensors }: CallbackStates): void {
    for (const [key, callback] of this.#callbacks) {
      if (callback.loadState === undefined || !Object.hasOwn(values, key)) continue;
      const prefix = `${encodeURIComponent(key)}/`;
      const own = Object.entries(tensors).filter(([name]) => name.startsWith(prefix));
      const state = {
        values: values[key],
        tensors: Object.fromEntries(own.map(([name, tensor]) => [name.slice(prefix.length), tensor])),
      };
      attempt(key, 'loadState', () => callback.loadState?.(state));
    }
  }

  async #call<H extends HookName>(hook: H, ...args: HookArguments<H>): Promise<void> {
    for (const [key, callback] of this.#callbacks) {
      const method = callback[hook] as ((...args: HookArguments<H>) => void | Promise<void>) | undefined;
      if (method === undefined) continue;
      try {
        await method.apply(callback, args);
      } catch (error) {
        throw failure(key, hook, error);
      }
    }
  }
}

function attempt<T>(key: string, hook: string, work: () => T): T {
  try {
    return work();
  } catch (error) {
    throw failure(key, hook, error);
  }
}

function failure(key: string, hook: string, cause: unknown): Error {
  if (cause instanceof LockstepError || cause instanceof InvariantError) return cause;
  return new LockstepError('CALLBACK_FAILED', `callback ${key} threw in ${hook}: ${messageOf(cause)}`, {
    hint: "Correct the callback; --verbose, or the error's cause, shows where it threw.",
    cause,
  });
}
