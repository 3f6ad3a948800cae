/**
 * What the I/O thread tells a compute thread in the middle of a computation, when it hears no messages: that nobody
 * waits for what it computes; and how far the compute thread has come with its messages. Memory that both see.
 */
export class ThreadSignals {
  readonly buffer: SharedArrayBuffer;
  readonly #words: Int32Array;

  constructor(buffer = new SharedArrayBuffer(12)) {
    this.buffer = buffer;
    this.#words = new Int32Array(buffer);
  }

  /**
   * Says that a reset is on its way: what was posted before it is not wanted. What was cancelled is forgotten with it,
   * for the next coordinator may count its rounds from 1 again.
   */
  announceReset(): void {
    Atomics.add(this.#words, 0, 1);
    Atomics.store(this.#words, 1, 0);
  }

  /** Resets that were announced. */
  get resets(): number {
    return Atomics.load(this.#words, 0);
  }

  /** One more message was handled. */
  countHandled(): void {
    Atomics.add(this.#words, 2, 1);
  }

  /** Messages that were handled. */
  get handled(): number {
    return Atomics.load(this.#words, 2) >>> 0;
  }

  cancel(round: number): void {
    Atomics.store(this.#words, 1, round | 0);
  }

  /** Whether this round was the last to be cancelled. One before it may be computed in vain, and no more. */
  isCancelled(round: number): boolean {
    return round > 0 && Atomics.load(this.#words, 1) === (round | 0);
  }
}
