import type { Clock } from '../shared/clock.js';
import { LockstepError } from '../shared/errors.js';

/**
 * Lets callers wait, with a deadline, until enough workers can compute: as many as they ask for at first. Once the
 * gate has opened, those that were lost meanwhile are not waited for: all that are left are enough.
 */
export class ReadyGate {
  readonly #clock: Clock;
  readonly #waiters = new Set<{ count: number; settle: (error: Error | null) => void }>();
  #ready = 0;
  #here = 0;
  #hasOpened = false;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Tells the gate how many workers are ready now, and how many are here. */
  update(ready: number, here: number): void {
    this.#ready = ready;
    this.#here = here;
    for (const waiter of [...this.#waiters]) if (this.#isOpenFor(waiter.count)) waiter.settle(null);
  }

  /** Ends every wait with this error. */
  fail(error: Error): void {
    for (const waiter of [...this.#waiters]) waiter.settle(error);
  }

  /** @throws LockstepError NO_WORKERS after `timeoutMs` */
  wait(count: number, timeoutMs: number): Promise<void> {
    if (this.#isOpenFor(count)) return Promise.resolve();
    return new Promise((resolve, reject) => {
      const waiter = {
        count,
        settle: (error: Error | null): void => {
          cancelTimer();
          this.#waiters.delete(waiter);
          if (error === null) resolve();
          else reject(error);
        },
      };
      const cancelTimer = this.#clock.after(timeoutMs, () => {
        const message = `${this.#ready} of ${count} workers are ready after ${Math.round(timeoutMs / 1000)} s`;
        const hint = 'Start more with `lockstep worker --join URL`, or ask for fewer with --workers.';
        waiter.settle(new LockstepError('NO_WORKERS', message, { hint }));
      });
      this.#waiters.add(waiter);
    });
  }

  #isOpenFor(count: number): boolean {
    const enough = this.#hasOpened ? Math.min(count, Math.max(1, this.#here)) : count;
    if (this.#ready < enough) return false;
    this.#hasOpened = true;
    return true;
  }
}
