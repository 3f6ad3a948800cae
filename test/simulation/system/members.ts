import { InvariantBroken } from './invariants.js';
import { limits } from './limits.js';
import type { Line } from './line.js';
import type { TrafficOptions } from './traffic.js';

/** What is known of one worker from its line alone. */
interface Member {
  /** Since when it is to build its program; null before it was told. */
  preparesMs: number | null;
  /** Whether it knows: then it says that it is there. */
  isTold: boolean;
  readyMs: number | null;
  /** When each end spoke last. */
  readonly spokeMs: [coordinator: number, worker: number];
  /** When something that came from the worker was read last. */
  heardMs: number;
}

/** Both ends say every second that they are there; the coordinator looks after it four times a second. */
const beatMs = 1_000;
const beatSlackMs = 600;
/** Between two ticks, and the two that a worker's first heartbeat may take. */
const silenceSlackMs = 2_000;
/** A deadline is looked at with every tick. */
const tickSlackMs = 1_000;

/** The workers of one coordinator, as the wires show them, and what both sides owe each other in time. */
export class Members {
  readonly #nowMs: () => number;
  readonly #members = new Map<Line, Member>();
  /** When the coordinator last went on after it was stopped: what it could not see does not count. */
  readonly #continuedMs: () => number;
  /** For how long those that are gone had been silent, by number. */
  readonly #silentMs = new Map<number | null, number>();
  #withoutReadySinceMs: number | null;
  #noneReadySinceMs: number | null;
  #longestNoneReadyMs = 0;

  constructor({ nowMs, continuedMs }: Pick<TrafficOptions, 'nowMs' | 'continuedMs'>) {
    this.#nowMs = nowMs;
    this.#continuedMs = continuedMs;
    this.#withoutReadySinceMs = nowMs();
    this.#noneReadySinceMs = nowMs();
  }

  /** Lets a line in. */
  add(line: Line): void {
    const nowMs = this.#nowMs();
    this.#members.set(line, {
      preparesMs: null,
      isTold: false,
      readyMs: null,
      spokeMs: [nowMs, nowMs],
      heardMs: nowMs,
    });
  }

  remove(line: Line): void {
    if (!this.#members.delete(line)) return;
    this.#silentMs.set(line.incarnation, this.#nowMs() - line.ends[0].reachedMs);
    this.#look();
  }

  sent(line: Line, from: 0 | 1, type: string): void {
    const member = this.#members.get(line);
    if (member === undefined) return;
    const nowMs = this.#nowMs();
    member.spokeMs[from] = nowMs;
    if (type !== 'setup') return;
    // Until then it need not speak.
    Object.assign(member, { preparesMs: nowMs, readyMs: null });
    this.#look();
  }

  arrived(line: Line, from: 0 | 1, type: string): void {
    const member = this.#members.get(line);
    if (member === undefined) return;
    if (from === 0) {
      if (type !== 'setup') return;
      member.isTold = true;
      member.spokeMs[1] = this.#nowMs();
      return;
    }
    member.heardMs = this.#nowMs();
    if (type !== 'ready') return;
    member.readyMs = this.#nowMs();
    this.#look();
  }

  /** It could not carry out an order, and is given no other. */
  failed(line: Line): void {
    const member = this.#members.get(line);
    if (member !== undefined) Object.assign(member, { preparesMs: null, readyMs: null });
  }

  /** The lines of those that can compute. */
  get ready(): Line[] {
    return [...this.#members].flatMap(([line, { readyMs }]) => (readyMs === null ? [] : [line]));
  }

  /** For how long nobody has been ready or getting ready; 0 while somebody is. */
  get withoutReadyMs(): number {
    if (this.#withoutReadySinceMs === null) return 0;
    return this.#nowMs() - Math.max(this.#withoutReadySinceMs, this.#continuedMs());
  }

  /** The longest time for which nobody was ready. */
  get longestNoneReadyMs(): number {
    const sinceMs = this.#noneReadySinceMs;
    return Math.max(this.#longestNoneReadyMs, sinceMs === null ? 0 : this.#nowMs() - sinceMs);
  }

  #look(): void {
    this.#longestNoneReadyMs = this.longestNoneReadyMs;
    this.#noneReadySinceMs = this.ready.length > 0 ? null : (this.#noneReadySinceMs ?? this.#nowMs());
    const isAny = [...this.#members.values()].some(
      ({ preparesMs, readyMs }) => preparesMs !== null || readyMs !== null,
    );
    this.#withoutReadySinceMs = isAny ? null : (this.#withoutReadySinceMs ?? this.#nowMs());
  }

  /** A worker is lost for its silence: it must have been silent. */
  lostForSilence(worker: number): void {
    const silentMs = this.#silentMs.get(worker) ?? limits.silenceMs;
    if (silentMs < limits.silenceMs)
      throw new InvariantBroken('I5', `worker ${worker} is lost for silence, and spoke ${silentMs} ms ago`);
  }

  /** Whether everybody speaks and answers in time. Not to be asked of a coordinator that is, or just was, stopped. */
  check(): void {
    const nowMs = this.#nowMs();
    for (const [line, member] of this.#members) {
      // A coordinator that was stopped counts from when it goes on: it could not have heard anybody before.
      const silentMs = nowMs - Math.max(member.heardMs, this.#continuedMs());
      if (silentMs > limits.silenceMs + silenceSlackMs)
        throw new InvariantBroken('I5', `a worker has been silent for ${silentMs} ms and is not lost`);
      this.#checkBeats(line, member, nowMs);
      const { preparesMs, readyMs } = member;
      if (preparesMs === null || readyMs !== null) continue;
      const preparingMs = nowMs - Math.max(preparesMs, this.#continuedMs());
      if (preparingMs > limits.prepareMs + tickSlackMs)
        throw new InvariantBroken('I5', `a worker has been preparing for ${preparingMs} ms and is not lost`);
    }
  }

  #checkBeats(line: Line, { spokeMs, isTold }: Member, nowMs: number): void {
    for (const end of [0, 1] as const) {
      const process = line.options.processes[end];
      if (!process.isAlive || process.isStopped || !line.ends[end].isOpen) continue;
      if (end === 1 && !isTold) continue;
      const quietMs = nowMs - Math.max(spokeMs[end], process.continuedMs);
      if (quietMs > beatMs + beatSlackMs)
        throw new InvariantBroken('I5', `${process.name} has said nothing for ${quietMs} ms`);
    }
  }
}
