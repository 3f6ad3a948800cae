import type { Clock } from '../clock.js';

export interface FrameAllowance {
  /** What a peer may send at once, beyond what the others allow. */
  readonly burst: number;
  /** For heartbeats, and whatever a peer says unasked. */
  readonly perSecond: number;
  /** Answers that a message of ours may have. */
  readonly perMessage: number;
  /** What is saved up at most. */
  readonly most: number;
}

/**
 * How many frames a peer may send: so many as it was sent, for answers, and so many as time passed, for what it says
 * unasked. So the limit follows the pace of the run, and a peer that floods is found whatever the pace.
 */
export class FrameBudget {
  readonly #allowance: FrameAllowance;
  readonly #clock: Clock;
  #left: number;
  #sinceMs: number;

  constructor(allowance: FrameAllowance, clock: Clock) {
    this.#allowance = allowance;
    this.#clock = clock;
    this.#left = allowance.burst;
    this.#sinceMs = clock.nowMs();
  }

  /** A message of ours has gone out. */
  sent(): void {
    this.#add(this.#allowance.perMessage);
  }

  /** A frame has come. False if it is one too many. */
  take(): boolean {
    const nowMs = this.#clock.nowMs();
    this.#add(((nowMs - this.#sinceMs) / 1_000) * this.#allowance.perSecond);
    this.#sinceMs = nowMs;
    if (this.#left < 1) return false;
    this.#left -= 1;
    return true;
  }

  #add(frames: number): void {
    this.#left = Math.min(this.#allowance.most, this.#left + frames);
  }
}
