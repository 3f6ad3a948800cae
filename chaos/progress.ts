import type { RunPoint } from '../shared/run-point.js';
import type { Target } from './crew.js';

/** Bytes of one direction of a worker's connection, up to the beginning of the last two steps. */
interface Mark {
  readonly before: number;
  readonly now: number;
}

/** What is known of a step under way: who holds how many shards, and how many bytes went where. */
export class Progress {
  readonly #outstanding = new Map<number, number>();
  readonly #orderedMs = new Map<number, number>();
  readonly #usualMs = new Map<number, number>();
  readonly #marks = new Map<string, Mark>();

  at({ phase, worker, shards }: RunPoint, nowMs: number): void {
    if (phase === 'idle') this.#outstanding.clear();
    if (worker === null) return;
    if (phase === 'dispatch') {
      this.#outstanding.set(worker, this.outstandingOf(worker) + shards);
      this.#orderedMs.set(worker, nowMs);
    }
    if (phase === 'reducing') {
      this.#outstanding.set(worker, Math.max(0, this.outstandingOf(worker) - shards));
      this.#usualMs.set(worker, nowMs - (this.#orderedMs.get(worker) ?? nowMs));
    }
  }

  /** Shards that a worker was ordered to compute in this step and has not given back. */
  outstandingOf(worker: number): number {
    return this.#outstanding.get(worker) ?? 0;
  }

  /** How long the worker took for its last result; 20 ms before its first. */
  usualMs(worker: number): number {
    return this.#usualMs.get(worker) ?? 20;
  }

  /** A step begins: what its bytes are counted from. */
  mark(targets: readonly Target[]): void {
    for (const { worker, link } of targets) {
      if (link === null) continue;
      for (const direction of ['up', 'down'] as const) {
        const key = `${worker} ${direction}`;
        const { receivedBytes } = link[direction];
        this.#marks.set(key, { before: this.#marks.get(key)?.now ?? receivedBytes, now: receivedBytes });
      }
    }
  }

  /**
   * A place within the bytes of this step, as far as the step before tells how many there will be: at least one
   * byte has come, and at least one is still to come.
   */
  placeOf({ worker, link }: Target, phase: 'receiving' | 'uploading', fraction: number): number {
    const direction = phase === 'receiving' ? 'down' : 'up';
    const mark = this.#marks.get(`${worker} ${direction}`);
    const begun = link?.[direction].receivedBytes ?? 0;
    const usual = mark === undefined ? 0 : mark.now - mark.before;
    return begun + 1 + Math.floor(Math.max(0, usual - 2) * fraction);
  }

  lost(worker: number): void {
    this.#outstanding.delete(worker);
    this.#orderedMs.delete(worker);
    this.#usualMs.delete(worker);
    this.#marks.delete(`${worker} up`);
    this.#marks.delete(`${worker} down`);
  }
}
