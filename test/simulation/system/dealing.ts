import { InvariantBroken } from './invariants.js';
import { limits } from './limits.js';
import type { Line } from './line.js';
import type { Members } from './members.js';
import type { ShardRecord, TrafficOptions } from './traffic.js';

/** Nobody has it, and somebody is idle: dealt at once, or at the next tick. */
const freeMs = 1_000;
/** Before much is known of how long a shard takes, its deadline is no longer; then whoever is idle computes it too. */
const lateMs = 4_000;
/** A deadline is no longer than so many times what the slowest shard took: the usual time, and 6 times its spread. */
const deviations = 7;
/** So many deadlines later a worker is lost that is heard and does not answer. */
const deadlines = 20;

/** How the shards of a round are dealt: to everybody alike, and to whoever is idle when others take too long. */
export class Dealing {
  readonly #shards: ReadonlyMap<string, ShardRecord>;
  readonly #members: Members;
  readonly #options: TrafficOptions;
  #round = 0;
  /** What a shard has taken at most. */
  #slowestMs = 0;
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

  answered(perShardMs: number): void {
    this.#slowestMs = Math.max(this.#slowestMs, perShardMs);
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
    const { nowMs: now, continuedMs } = this.#options;
    const [nowMs, goesOnSinceMs] = [now(), continuedMs()];
    const deadlineMs = lateMs + this.#options.shards * deviations * this.#slowestMs;
    const openMs = Math.max(limits.answerMs, deadlines * deadlineMs) + freeMs;
    let hasIdle: boolean | null = null;
    for (const { round, shard, holders, isAnswered, freeSinceMs } of this.#shards.values()) {
      for (const orderedMs of holders.values()) {
        if (nowMs - Math.max(orderedMs, goesOnSinceMs) > openMs)
          throw new InvariantBroken('I5', `shard ${round}:${shard} is open since ${nowMs - orderedMs} ms`);
      }
      if (round !== this.#round || isAnswered) continue;
      const sinceMs = holders.size === 0 ? freeSinceMs : Math.max(...holders.values());
      const waitedMs = nowMs - Math.max(sinceMs, goesOnSinceMs);
      if (waitedMs <= (holders.size === 0 ? freeMs : deadlineMs)) continue;
      hasIdle ??= this.#idle().length > 0;
      if (hasIdle)
        throw new InvariantBroken(
          'I5',
          `shard ${round}:${shard} waits for ${waitedMs} ms beside an idle worker`,
        );
    }
  }
}
