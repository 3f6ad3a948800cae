import { InvariantBroken } from './invariants.js';
import type { Line } from './line.js';

/** Codes with which a message is rejected that has no effect. */
const stale: ReadonlySet<string> = new Set([
  'wrong_run',
  'stale_term',
  'stale_incarnation',
  'stale_step',
  'not_assigned',
]);

/** What the coordinator holds against workers: that it rejects what it must, and sends nobody away for nothing. */
export class Verdicts {
  /** Messages that have come, must have no effect, and were not rejected. */
  readonly #unrejected = new Map<Line, number>();
  /** Lines on which something came that the worker did not send. */
  readonly #tampered = new WeakSet<Line>();
  /** Lines of workers that said that they could not compute something. */
  readonly #failed = new WeakSet<Line>();
  /** Lines of those that left, or were sent away for what they did: they have not died. */
  readonly #parted = new WeakSet<Line>();

  /** Something comes that the worker itself does not send. */
  tampered(line: Line): void {
    this.#tampered.add(line);
  }

  /** A message has come that must have no effect. */
  futile(line: Line): void {
    if (line.ends[0].isOpen) this.#unrejected.set(line, (this.#unrejected.get(line) ?? 0) + 1);
  }

  /** A worker cannot compute what it was ordered. */
  failed(line: Line): void {
    this.#failed.add(line);
  }

  /** A worker leaves. */
  left(line: Line): void {
    this.#parted.add(line);
  }

  hasParted(line: Line): boolean {
    return this.#parted.has(line);
  }

  /** The coordinator rejects something. */
  rejected(line: Line, code: string): void {
    if (stale.has(code)) this.#unrejected.set(line, Math.max(0, (this.#unrejected.get(line) ?? 0) - 1));
    if (code === 'failed' && !this.#failed.has(line))
      throw new InvariantBroken('I4', 'a worker is sent away for a failure that it did not have');
    if (code === 'invalid_message' && !this.#tampered.has(line))
      throw new InvariantBroken('I4', 'a worker is sent away for a message that is valid');
    if (code === 'failed' || code === 'wrong_result') this.#parted.add(line);
  }

  /** After every event. */
  settled(): void {
    for (const [line, count] of this.#unrejected) {
      if (count > 0 && line.ends[0].isOpen)
        throw new InvariantBroken('I4', 'a message that must have no effect was not rejected');
    }
    this.#unrejected.clear();
  }
}
