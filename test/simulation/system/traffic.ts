import { Dealing } from './dealing.js';
import { InvariantBroken } from './invariants.js';
import type { Line } from './line.js';
import { Members } from './members.js';

interface Message {
  readonly type: string;
  readonly round?: number;
  readonly kind?: string;
  readonly step?: number;
  readonly lo?: number;
  readonly hi?: number;
  readonly code?: string;
  readonly order?: { readonly round: number; readonly lo: number; readonly hi: number } | null;
}

interface Envelope {
  readonly run: string;
  readonly term: number;
  readonly incarnation: number;
  readonly message?: Message;
}

/** One shard of one round. */
export interface ShardRecord {
  readonly round: number;
  readonly shard: number;
  /** Lines on which it is outstanding, with the time of the order. */
  readonly holders: Map<Line, number>;
  isAnswered: boolean;
  /** How often it was outstanding on a line that was lost. */
  losses: number;
  /** Since when nobody has it, if it was ordered before. */
  freeSinceMs: number;
}

export interface TrafficOptions {
  readonly run: string;
  readonly term: number;
  readonly nowMs: () => number;
  /** When the coordinator last went on after it was stopped. */
  readonly continuedMs: () => number;
  /** S. */
  readonly shards: number;
  /** A holder that takes longer may be doubled. */
  readonly patienceMs: number;
  /** Whether every shard is computed twice. */
  readonly audits: boolean;
  /** Whether a shard may be computed again although an answer for it has come. */
  readonly mayDoubt: () => boolean;
}

/**
 * What is on the wires of one coordinator: who was ordered what and has not answered. From that follows how many
 * shards may be computed: each once, and again only where its holder was lost, took long, or is to be checked.
 */
export class Traffic {
  /** The most often that one shard was outstanding on a line that was lost. */
  mostLosses = 0;
  readonly members: Members;
  readonly #options: TrafficOptions;
  readonly #dealing: Dealing;
  /** By `round:shard`: of the present round, and those that are still outstanding. */
  readonly #shards = new Map<string, ShardRecord>();
  /** Of training, as `step:shard`. */
  readonly #trained = new Set<string>();
  /** Partials that were sent on a line and have not arrived. */
  readonly #underWay = new Map<Line, number>();
  /** Messages of another connection that have come and were not rejected. */
  readonly #unrejected = new Map<Line, number>();
  /** Lines whose next partial is not what its shards give, then which one that is, as `round:lo`. */
  readonly #wrong = new Map<Line, string | null>();
  #round = 0;
  #step: number | null = null;
  #isUnnoticed = false;
  #computed = 0;
  #ordered = 0;

  constructor(options: TrafficOptions) {
    this.#options = options;
    this.members = new Members(options);
    this.#dealing = new Dealing(this.#shards, this.members, options);
  }

  get partialsUnderWay(): number {
    let count = 0;
    for (const [line, sent] of this.#underWay) if (!line.isBroken) count += sent;
    return count;
  }

  /** The lines on which partials are under way. */
  get uploading(): Line[] {
    return [...this.#underWay].flatMap(([line, sent]) => (sent > 0 && !line.isBroken ? [line] : []));
  }

  frame(line: Line, from: 0 | 1, body: unknown, moment: 'sent' | 'arrived'): void {
    const { message } = body as Envelope;
    if (message === undefined) return;
    // What is not of this connection has no effect; that it has none is seen in everything else.
    if (!this.isOwn(line, body)) {
      if (from === 1 && moment === 'arrived' && line.ends[0].isOpen) this.#reject(line, 1);
      return;
    }
    const { type } = message;
    if (moment === 'sent') this.members.sent(line, from, type);
    else this.members.arrived(line, from, type);
    if (from === 0 && type === 'rejected' && moment === 'sent' && staleCodes.has(message.code ?? ''))
      this.#reject(line, -1);
    if (from === 0 && type === 'compute' && moment === 'sent') this.#order(line, message);
    if (from === 1 && moment === 'arrived' && type === 'goodbye') this.lost(line);
    if (from === 1 && moment === 'arrived' && type === 'failed') this.#fail(line, message);
    if (from === 1 && type === 'partial') {
      this.#underWay.set(line, Math.max(0, (this.#underWay.get(line) ?? 0) + (moment === 'sent' ? 1 : -1)));
      if (moment === 'arrived') this.#answer(line, message);
      else if (this.#wrong.get(line) === null) this.#wrong.set(line, `${message.round}:${message.lo}`);
    }
  }

  /** Whether a message is of this run, term and connection. */
  isOwn(line: Line, body: unknown): boolean {
    const { run, term, incarnation } = body as Envelope;
    return run === this.#options.run && term === this.#options.term && incarnation === line.incarnation;
  }

  #reject(line: Line, count: 1 | -1): void {
    this.#unrejected.set(line, Math.max(0, (this.#unrejected.get(line) ?? 0) + count));
  }

  /** After every event: what it should have led to at once. */
  settled(): void {
    for (const [line, count] of this.#unrejected) {
      if (count > 0 && line.ends[0].isOpen)
        throw new InvariantBroken('I4', 'a message of another run, term or incarnation was not rejected');
    }
    this.#unrejected.clear();
    if (this.#isUnnoticed) throw new InvariantBroken('I1', 'two answers differ, and nobody was told');
    this.#dealing.settled();
  }

  /** Whether what is to be done is done in time. */
  check(): void {
    this.members.check();
    this.#dealing.check();
  }

  /** The coordinator has told that two answers differ. */
  noticed(): void {
    this.#isUnnoticed = false;
  }

  /** Whether somebody's answer for a shard of a training step has come. */
  isAnswered(step: number, shard: number): boolean {
    return this.#trained.has(`${step}:${shard}`);
  }

  /** The next partial on a line will be wrong. */
  spoils(line: Line): void {
    this.#wrong.set(line, null);
  }

  /** The coordinator's end of a line has closed: what was ordered on it is to be computed by others. */
  lost(line: Line): void {
    this.#underWay.delete(line);
    this.members.remove(line);
    for (const record of this.#shards.values()) {
      if (!record.holders.delete(line)) continue;
      record.losses += 1;
      record.freeSinceMs = this.#options.nowMs();
      this.mostLosses = Math.max(this.mostLosses, record.losses);
    }
  }

  /** A worker begins a shard: nobody computes what was not ordered, or one order twice. */
  computes(): void {
    this.#computed += 1;
    if (this.#computed <= this.#ordered) return;
    throw new InvariantBroken('I3', `${this.#computed} shards were computed, ${this.#ordered} were ordered`);
  }

  #order(line: Line, { kind, round = 0, step = 0, lo = 0, hi = 0 }: Message): void {
    if (round > this.#round) this.#begin(round, kind === 'train' ? step : null);
    this.#dealing.ordered(line, hi - lo);
    for (let shard = lo; shard < hi; shard++) {
      const key = `${round}:${shard}`;
      const freeSinceMs = this.#options.nowMs();
      const record = this.#shards.get(key) ?? {
        round,
        shard,
        holders: new Map<Line, number>(),
        isAnswered: false,
        losses: 0,
        freeSinceMs,
      };
      this.#shards.set(key, record);
      this.#justify(key, record);
      record.holders.set(line, this.#options.nowMs());
      this.#ordered += 1;
    }
  }

  #begin(round: number, step: number | null): void {
    this.#round = round;
    this.#step = step;
    for (const [key, { holders }] of this.#shards) if (holders.size === 0) this.#shards.delete(key);
    this.#dealing.begins(round);
  }

  /** Why a shard is ordered: nobody has it, or whoever has it is slow, or what came of it is doubted. */
  #justify(key: string, { holders, isAnswered }: ShardRecord): void {
    if (this.#options.mayDoubt()) return;
    if (isAnswered) throw new InvariantBroken('I3', `shard ${key} was answered, and is ordered again`);
    for (const line of holders.keys()) {
      const heldMs = this.#options.nowMs() - this.#oldestOrderMs(line);
      if (heldMs < this.#options.patienceMs)
        throw new InvariantBroken('I3', `shard ${key} is ordered again after ${heldMs} ms`);
    }
  }

  /** A worker that is late with one thing is late with all that it was ordered since. */
  #oldestOrderMs(line: Line): number {
    let oldestMs = this.#options.nowMs();
    for (const { holders } of this.#shards.values())
      oldestMs = Math.min(oldestMs, holders.get(line) ?? oldestMs);
    return oldestMs;
  }

  #answer(line: Line, { round = 0, lo = 0, hi = 0 }: Message): void {
    const isWrong = this.#wrong.get(line) === `${round}:${lo}` && this.#wrong.delete(line);
    for (let shard = lo; shard < hi; shard++) {
      const record = this.#shards.get(`${round}:${shard}`);
      const orderedMs = record?.holders.get(line);
      if (record === undefined || orderedMs === undefined) continue;
      record.holders.delete(line);
      this.#dealing.answered((this.#options.nowMs() - orderedMs) / (hi - lo));
      // It is compared with the answer that came before.
      if (isWrong && record.isAnswered) this.#isUnnoticed = true;
      record.isAnswered = true;
      if (round === this.#round && this.#step !== null) this.#trained.add(`${this.#step}:${shard}`);
    }
  }

  /** A worker says that it cannot compute an order that it has: it is given no other. */
  #fail(line: Line, { order }: Message): void {
    if (order === null || order === undefined) return;
    for (const record of this.#shards.values()) {
      const isOrdered = record.round === order.round && order.lo <= record.shard && record.shard < order.hi;
      if (!isOrdered || !record.holders.delete(line)) continue;
      record.freeSinceMs = this.#options.nowMs();
      this.members.failed(line);
    }
  }
}

const staleCodes: ReadonlySet<string> = new Set(['wrong_run', 'stale_term', 'stale_incarnation']);
