import type { Clock } from '../../../shared/clock.js';
import type { VirtualClock } from '../virtual-clock.js';

/**
 * What runs in one operating system process: everything that reaches it, timers and messages alike, comes in through
 * `enter`, so that it can be stopped (SIGSTOP: what comes waits), continued, and killed (what comes is lost).
 */
export class SimulatedProcess {
  readonly name: string;
  readonly clock: Clock;
  readonly #base: VirtualClock;
  readonly #waiting: (() => void)[] = [];
  readonly #atDeath: (() => void)[] = [];
  #state: 'running' | 'stopped' | 'dead' = 'running';
  #continuedMs = Number.NEGATIVE_INFINITY;

  constructor(name: string, base: VirtualClock) {
    this.name = name;
    this.#base = base;
    this.clock = {
      nowMs: () => base.nowMs(),
      after: (delayMs, wake) => base.after(delayMs, () => this.enter(wake)),
      every: (periodMs, wake) => base.every(periodMs, () => this.enter(wake)),
    };
  }

  get isAlive(): boolean {
    return this.#state !== 'dead';
  }

  get isStopped(): boolean {
    return this.#state === 'stopped';
  }

  /** When it last went on after it had been stopped. */
  get continuedMs(): number {
    return this.#continuedMs;
  }

  enter(handle: () => void): void {
    if (this.#state === 'running') handle();
    else if (this.#state === 'stopped') this.#waiting.push(handle);
  }

  /** Resolves after so much time of this process; never, if it dies. */
  sleep(delayMs: number): Promise<void> {
    return new Promise((resolve) => void this.clock.after(delayMs, resolve));
  }

  stop(): void {
    if (this.#state === 'running') this.#state = 'stopped';
  }

  /** What came while it was stopped is handled now, one thing at a time. */
  continue(): void {
    if (this.#state !== 'stopped') return;
    this.#state = 'running';
    this.#continuedMs = this.#base.nowMs();
    const next = (): void => {
      if (this.#state !== 'running') return;
      this.#waiting.shift()?.();
      if (this.#waiting.length > 0) this.#base.after(0, next);
    };
    this.#base.after(0, next);
  }

  onDeath(handle: () => void): void {
    this.#atDeath.push(handle);
  }

  kill(): void {
    if (this.#state === 'dead') return;
    this.#state = 'dead';
    this.#waiting.length = 0;
    for (const handle of this.#atDeath) handle();
  }
}
