import type { Clock } from '../../shared/clock.js';

interface Timer {
  readonly atMs: number;
  readonly wake: () => void;
}

/** A clock that stands still until it is advanced; timers due at the same time wake in the order they were set. */
export class VirtualClock implements Clock {
  #nowMs = 0;
  /** By time. */
  readonly #timers: Timer[] = [];

  nowMs(): number {
    return this.#nowMs;
  }

  after(delayMs: number, wake: () => void): () => void {
    const timer = { atMs: this.#nowMs + delayMs, wake };
    let place = this.#timers.length;
    while (place > 0 && this.#timers[place - 1].atMs > timer.atMs) place -= 1;
    this.#timers.splice(place, 0, timer);
    return () => {
      const at = this.#timers.indexOf(timer);
      if (at >= 0) this.#timers.splice(at, 1);
    };
  }

  every(periodMs: number, wake: () => void): () => void {
    let cancel = (): void => {};
    const again = (): void => {
      cancel = this.after(periodMs, () => {
        again();
        wake();
      });
    };
    again();
    return () => cancel();
  }

  /** Goes to the next timer and wakes it. Gives false if there is none. */
  advance(): boolean {
    const timer = this.#timers.shift();
    if (timer === undefined) return false;
    this.#nowMs = timer.atMs;
    timer.wake();
    return true;
  }
}
