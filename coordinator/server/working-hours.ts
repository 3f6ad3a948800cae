/** What a worker has spent its time with since it was first ready, in milliseconds. */
export interface Hours {
  /** Computing, as it says itself. */
  readonly computeMs: number;
  /** It had something to compute and did not: orders, data and answers were on their way, or it stood still. */
  readonly networkMs: number;
  /** It had nothing to compute. */
  readonly idleMs: number;
}

/** Measures how a worker spends its time, from what it was ordered and what it answered. */
export class WorkingHours {
  #sinceMs: number | null = null;
  /** Units that it has been ordered and has not answered. */
  #outstanding = 0;
  #busySinceMs = 0;
  #busyMs = 0;
  #computeMs = 0;

  /** It can compute; whatever it had to do before is void. */
  begin(nowMs: number): void {
    this.#sinceMs ??= nowMs;
    this.#rest(nowMs);
  }

  ordered(units: number, nowMs: number): void {
    if (this.#outstanding === 0) this.#busySinceMs = nowMs;
    this.#outstanding += units;
  }

  answered(computeMs: number, nowMs: number): void {
    this.#computeMs += computeMs;
    if (this.#outstanding === 1) this.#rest(nowMs);
    else this.#outstanding -= 1;
  }

  until(nowMs: number): Hours {
    const presentMs = this.#outstanding > 0 ? nowMs - this.#busySinceMs : 0;
    const busyMs = this.#busyMs + presentMs;
    const computeMs = this.#computeMs;
    const totalMs = this.#sinceMs === null ? 0 : nowMs - this.#sinceMs;
    return {
      computeMs,
      networkMs: Math.max(0, busyMs - computeMs),
      idleMs: Math.max(0, totalMs - busyMs),
    };
  }

  #rest(nowMs: number): void {
    if (this.#outstanding > 0) this.#busyMs += nowMs - this.#busySinceMs;
    this.#outstanding = 0;
  }
}
