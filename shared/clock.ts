/** Time and timers as a port, so that simulations run under a virtual clock. */
export interface Clock {
  /** Milliseconds from an arbitrary origin; never goes back. */
  nowMs(): number;
  /** Calls `wake` every `periodMs` until the returned function is called. */
  every(periodMs: number, wake: () => void): () => void;
  /** Calls `wake` once after `delayMs`, unless the returned function is called first. */
  after(delayMs: number, wake: () => void): () => void;
}

/** The machine's monotonic clock. */
export const systemClock: Clock = {
  nowMs: () => performance.now(),
  every(periodMs, wake) {
    const timer = setInterval(wake, periodMs);
    return () => clearInterval(timer);
  },
  after(delayMs, wake) {
    const timer = setTimeout(wake, delayMs);
    return () => clearTimeout(timer);
  },
};
