import type { RunListener } from './events.js';

/** Who hears of a cluster's events. */
export class RunListeners {
  readonly #listeners: Set<RunListener>;

  constructor(...listeners: readonly RunListener[]) {
    this.#listeners = new Set(listeners);
  }

  /** Adds a listener until the returned function is called. */
  readonly subscribe = (listener: RunListener): (() => void) => {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  };

  readonly emit: RunListener = (event) => {
    for (const listener of this.#listeners) {
      try {
        listener(event);
      } catch (error) {
        // Events come from timers and sockets: there is nobody to catch a listener's error, and the run goes on.
        process.emitWarning(error instanceof Error ? error : String(error));
      }
    }
  };
}
