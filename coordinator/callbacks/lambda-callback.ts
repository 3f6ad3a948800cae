import type { Callback } from './callback.js';

/**
 * A callback made of functions, as `keras.callbacks.LambdaCallback`. Give it `saveState` and `loadState` as well
 * if the functions remember anything between calls.
 */
export function lambdaCallback({ name = 'lambda', ...hooks }: Partial<Callback>): Callback {
  return { name, ...hooks };
}
