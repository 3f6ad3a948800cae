import { InvariantBroken } from './invariants.js';
import { limits } from './limits.js';
import type { Line } from './line.js';
import type { Members } from './members.js';
import type { ShardRecord, TrafficOptions } from './traffic.js';

/** A deadline is looked at with every tick. What is usual changes with every answer, and a deadline passes with it. */
const tickSlackMs = 500;
/** Nobody has it, and somebody is idle: dealt at once, or at the next tick. */
const freeMs = 500;
/** So many deadlines later a worker is lost that is heard and does not answer. */
const deadlines = 20;

/** How the shards of a round are dealt: to everybody alike, and to whoever is idle when others take too long. */
export class Dealing {
  readonly #shards: ReadonlyMap<string, ShardRecord>;
  readonly #members: Members;
  readonly #options: TrafficOptions;
  readonly #usual = new UsualTimes();
  /** When each worker answered last: then it began with the next thing that it was ordered. */
  readonly #answeredMs = new Map<Line, number>();
  /** What should not last, and since when it has: it is broken only if it outlasts a tick. */
  #overdueSinceMs: ReadonlyMap<string, number> = new Map();
  #round = 0;
  /** Who had nothing to do when the round began, and how many shards each was given then; null once that is judged. */
  #begun: { readonly idle: readonly Line[]; readonly given: Map<Line, number> } | null = null;

  constructor(shards: ReadonlyMap<string, ShardRecord>, members: Members, options: TrafficOptions) {
    this.#shards = shards;
    this.#members = members;
    this.#options = options;
  }

  begins(round: number): void {
    this.#round = round;
    this.#begun = { idle: this.#idle(), given: new Map() };
  }

  ordered(line: Line, shards: number): void {
    const { given } = this.#begun ?? {};
    given?.set(line, (given.get(line) ?? 0) + shards);
  }

  /** An answer for so many shards, which were ordered at that time. */
  answered(line: Line, kind: string, shards: number, orderedMs: number): void {
    const nowMs = this.#options.nowMs();
    this.#usual.took(kind, (nowMs - this.#turnMs(line, orderedMs)) / shards);
    this.#answeredMs.set(line, nowMs);
  }

  /** When a worker could begin with something that was ordered at that time. */
  #turnMs(line: Line, orderedMs: number): number {
    return Math.max(orderedMs, this.#answeredMs.get(line) ?? orderedMs);
  }

  /** For how long a worker has owed its next answer; 0 if it owes none. */
  owedMs(line: Line): number {
    let sinceMs = Number.POSITIVE_INFINITY;
    for (const { holders } of this.#shards.values())
      sinceMs = Math.min(sinceMs, holders.get(line) ?? sinceMs);
    return Number.isFinite(sinceMs) ? this.#options.nowMs() - this.#turnMs(line, sinceMs) : 0;
  }

  #idle(): Line[] {
    const busy = new Set<Line>();
    for (const { holders } of this.#shards.values()) for (const line of holders.keys()) busy.add(line);
    return this.#members.ready.filter((line) => !busy.has(line));
  }

  /** After the event in which a round began. */
  settled(): void {
    if (this.#begun === null) return;
    const { idle, given } = this.#begun;
    this.#begun = null;
    if (idle.length === 0) return;
    for (const line of given.keys()) {
      if (!idle.includes(line))
        throw new InvariantBroken('I5', 'a round began with a worker that is busy, and another one is idle');
    }
    const shares = idle.map((line) => given.get(line) ?? 0);
    if (!this.#options.audits && Math.max(...shares) - Math.min(...shares) > 1)
      throw new InvariantBroken('I5', `a round was dealt as ${shares.join(', ')} shards`);
  }

  check(): void {
    const nowMs = this.#options.nowMs();
    const overdueSinceMs = new Map<string, number>();
    for (const overdue of this.#overdue(nowMs)) {
      const sinceMs = this.#overdueSinceMs.get(overdue) ?? nowMs;
      if (nowMs - sinceMs > tickSlackMs)
        throw new InvariantBroken('I5', `${overdue} for ${nowMs - sinceMs} ms`);
      overdueSinceMs.set(overdue, sinceMs);
    }
    this.#overdueSinceMs = overdueSinceMs;
  }

  *#overdue(nowMs: number): Generator<string> {
    const goesOnSinceMs = this.#options.continuedMs();
    const outstanding = new Map<Line, number>();
    for (const { holders } of this.#shards.values())
      for (const line of holders.keys()) outstanding.set(line, (outstanding.get(line) ?? 0) + 1);
    let hasIdle: boolean | null = null;
    for (const { round, shard, holders, isAnswered, freeSinceMs } of this.#shards.values()) {
      let waitedMs = nowMs - Math.max(freeSinceMs, goesOnSinceMs);
      let patienceMs = freeMs;
      for (const [line, orderedMs] of holders) {
        const heldMs = nowMs - Math.max(this.#turnMs(line, orderedMs), goesOnSinceMs);
        // The last one that took it over has the longest to go.
        waitedMs = Math.min(waitedMs, heldMs);
        if (heldMs <= freeMs) continue;
        const deadlineMs = this.#deadlineMs(line, outstanding.get(line) ?? 1);
        if (heldMs > Math.max(limits.answerMs, deadlines * deadlineMs))
          yield `shard ${round}:${shard} is open although it is past its longest deadline`;
        patienceMs = Math.max(patienceMs, deadlineMs);
      }
      if (round !== this.#round || isAnswered || waitedMs <= patienceMs) continue;
      hasIdle ??= this.#idle().length > 0;
      if (hasIdle) yield `shard ${round}:${shard} waits past its deadline beside an idle worker`;
    }
  }

  /** How long a worker may take for its next answer. Which of its shards that is of, the wire does not show. */
  #deadlineMs(line: Line, shards: number): number {
    let longestMs = 0;
    for (const { kind, holders } of this.#shards.values())
      if (holders.has(line)) longestMs = Math.max(longestMs, this.#usual.deadlineMs(kind, shards));
    return longestMs;
  }
}

/** Answers of a kind that say what is usual. */
const enough = 5;
const remembered = 64;

/** What answers took lately, for each shard, and how long the next may take. */
class UsualTimes {
  readonly #tookMs = new Map<string, number[]>();

  took(kind: string, perShardMs: number): void {
    this.#tookMs.set(kind, [...(this.#tookMs.get(kind) ?? []), perShardMs].slice(-remembered));
  }

  /** The longest deadline of so many shards: their median deviation is no larger than their median. */
  deadlineMs(kind: string, shards: number): number {
    const tookMs = this.#tookMs.get(kind) ?? [];
    if (tookMs.length < enough) return limits.warmUpMs + shards * limits.unknownShardMs;
    const median = [...tookMs].sort((a, b) => a - b)[tookMs.length >> 1];
    return limits.deadlineFloorMs + shards * 7 * median;
  }
}
