import { z } from 'zod';
import type { Callback, CallbackState, Logs } from './callback.js';
import { float64, valuesOf } from './callback-state.js';

const savedValues = z.strictObject({
  epoch: z.array(z.int()),
  history: z.record(z.string(), z.array(float64)),
});

/** The logs of every epoch, as `model.fit` returns them. */
export class History implements Callback {
  readonly name = 'history';
  /** The epochs trained, counted from 0. */
  epoch: number[] = [];
  /** Values by Keras name; an entry logged only in some epochs, such as `val_loss`, has a shorter list. */
  history: Record<string, number[]> = {};

  onTrainBegin(): void {
    this.epoch = [];
    this.history = {};
  }

  onEpochEnd(epoch: number, logs: Logs): void {
    this.epoch.push(epoch);
    for (const [name, value] of Object.entries(logs)) {
      this.history[name] ??= [];
      this.history[name].push(value);
    }
  }

  saveState(): CallbackState {
    return { values: structuredClone({ epoch: this.epoch, history: this.history }) };
  }

  loadState(state: CallbackState): void {
    ({ epoch: this.epoch, history: this.history } = valuesOf(this.name, savedValues, state));
  }
}
