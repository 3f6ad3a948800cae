import type { Clock } from '../shared/clock.js';
import { LockstepError } from '../shared/errors.js';

/** Lets callers wait, with a deadline, until enough workers can compute. */
export class ReadyGate {
  readonly #clock: Clock;
  readonly #waiters = new Set<{ count: number; settle: (error: Error | null) => void }>();
  #ready = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Tells the gate how many workers are ready now. */
  update(ready: number): void {
    this.#ready = ready;
    for (const waiter of [...this.#waiters]) if (ready >= waiter.count) waiter.settle(null);
  }

  /** Ends every wait with this error. */
  fail(error: Error): void {
    for (const waiter of [...this.#waiters]) waiter.settle(error);
  }

  /** @throws LockstepError NO_WORKERS after `timeoutMs` */
  wait(count: number, timeoutMs: number): Promise<void> {
    if (this.#ready >= count) return Promise.resolve();
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
}
