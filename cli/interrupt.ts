import { systemClock } from '../shared/clock.js';

const exitCodes = { SIGINT: 130, SIGTERM: 143 } as const;

export interface InterruptOptions {
  readonly onFirst: () => void;
  /** The process ends right after it: leaves the terminal tidy. @param why null for a second signal */
  readonly onForced: (why: string | null) => void;
  /** How long the process may go on after the first signal; null for as long as it takes. */
  readonly endMs: number | null;
}

/**
 * What a command does about Ctrl-C and SIGTERM: the first aborts `signal`, so that the step is finished and saved;
 * the second, or `endMs` without an end, ends the process at once. Neither leaves a torn file: a checkpoint appears
 * under its name only when it is complete.
 */
export class Interrupt {
  readonly #controller = new AbortController();
  readonly #options: InterruptOptions;
  #received: keyof typeof exitCodes | null = null;
  #cancelEnd = (): void => {};

  constructor(options: InterruptOptions) {
    this.#options = options;
    process.on('SIGINT', this.#receive);
    process.on('SIGTERM', this.#receive);
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  /** 130 or 143 after a signal, else null. */
  get exitCode(): 130 | 143 | null {
    return this.#received === null ? null : exitCodes[this.#received];
  }

  close(): void {
    this.#cancelEnd();
    process.off('SIGINT', this.#receive);
    process.off('SIGTERM', this.#receive);
  }

  readonly #receive = (name: 'SIGINT' | 'SIGTERM'): void => {
    const { onFirst, endMs } = this.#options;
    if (this.#received !== null) return this.#force(null);
    this.#received = name;
    onFirst();
    if (endMs !== null) {
      const why = `not ended ${endMs / 1_000} s after ${name}`;
      this.#cancelEnd = systemClock.after(endMs, () => this.#force(why));
    }
    this.#controller.abort();
  };

  /** Worker processes end by themselves when the channel to this one closes. */
  #force(why: string | null): void {
    this.#options.onForced(why);
    process.exit(this.exitCode ?? 1);
  }
}
