import type { Clock } from '../shared/clock.js';
import { seconds } from './core/describe.js';

/** What a run waits for between rounds that no worker gives: data of the user's own code. At most one thing. */
export class OutsideWait {
  readonly #clock: Clock;
  #current: { readonly what: string; readonly sinceMs: number } | null = null;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** @param what for people: `the data of step 12`. @returns what ends the wait */
  begin(what: string): () => void {
    const wait = { what, sinceMs: this.#clock.nowMs() };
    this.#current = wait;
    return () => {
      if (this.#current === wait) this.#current = null;
    };
  }

  /** `waiting for the data of step 12, 3.4 s`; null when nothing is waited for. */
  get reason(): string | null {
    if (this.#current === null) return null;
    const { what, sinceMs } = this.#current;
    return `waiting for ${what}, ${seconds(this.#clock.nowMs() - sinceMs)}`;
  }
}
