const exitCodes = { SIGINT: 130, SIGTERM: 143 } as const;

/**
 * What a command does about Ctrl-C and SIGTERM: the first aborts `signal`, so that the step is finished and saved;
 * the second ends the process at once.
 */
export class Interrupt {
  readonly #controller = new AbortController();
  readonly #onFirst: () => void;
  readonly #onSecond: () => void;
  #received: keyof typeof exitCodes | null = null;

  /** @param onSecond leaves the terminal tidy; the process ends right after it */
  constructor(onFirst: () => void, onSecond: () => void) {
    this.#onFirst = onFirst;
    this.#onSecond = onSecond;
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
    process.off('SIGINT', this.#receive);
    process.off('SIGTERM', this.#receive);
  }

  readonly #receive = (name: 'SIGINT' | 'SIGTERM'): void => {
    // Worker processes end by themselves when the channel to this one closes.
    if (this.#received !== null) {
      this.#onSecond();
      process.exit(exitCodes[this.#received]);
    }
    this.#received = name;
    this.#onFirst();
    this.#controller.abort();
  };
}
