import type { RunLimits, RunState } from './core/run.js';
import { waitingFor } from './core/waiting-for.js';
import type { RunListener } from './events.js';

/** A round that takes longer says what it waits for. */
const patienceMs = 10_000;

/** Says what a run waits for: once per thing waited for, not once per look. */
export class WaitingReporter {
  readonly #onEvent: RunListener;
  readonly #limits: RunLimits;
  #lastSubject: string | null = null;

  constructor(onEvent: RunListener, limits: RunLimits) {
    this.#onEvent = onEvent;
    this.#limits = limits;
  }

  /** @param roundMs how long the present round has lasted, or null between rounds */
  look(state: RunState, roundMs: number | null, nowMs: number): void {
    const reason = roundMs !== null && roundMs > patienceMs ? waitingFor(state, nowMs, this.#limits) : null;
    // The seconds in it change with every look.
    const subject = reason?.replace(/[\d.]+ s/g, '') ?? null;
    if (reason !== null && subject !== this.#lastSubject) this.#onEvent({ type: 'waiting', reason });
    this.#lastSubject = subject;
  }
}
