import { InvariantBroken } from './invariants.js';
import type { Line } from './line.js';

interface Message {
  readonly type: string;
  readonly round?: number;
  readonly kind?: string;
  readonly lo?: number;
  readonly hi?: number;
}

interface Envelope {
  readonly term: number;
  readonly incarnation: number;
  readonly message?: Message;
}

/** One shard of one round. */
interface ShardRecord {
  /** Lines on which it is outstanding, with the time of the order. */
  readonly holders: Map<Line, number>;
  isAnswered: boolean;
  /** How often it was outstanding on a line that was lost. */
  losses: number;
}

/**
 * What is on the wires of one coordinator: who was ordered what and has not answered. From that follows how many
 * shards may be computed: each once, and again only where its holder was lost, took long, or is to be checked.
 */
export class Traffic {
  /** The most often that one shard was outstanding on a line that was lost. */
  mostLosses = 0;
  readonly #term: number;
  readonly #nowMs: () => number;
  /** A holder that takes longer may be doubled. */
  readonly #patienceMs: number;
  /** Whether a shard may be computed again although an answer for it has come. */
  readonly #mayDoubt: () => boolean;
  /** By `round:shard`. */
  readonly #shards = new Map<string, ShardRecord>();
  /** Partials that were sent on a line and have not arrived. */
  readonly #underWay = new Map<Line, number>();
  /** When something came last on each open line. */
  readonly #heardMs = new Map<Line, number>();
  #computed = 0;
  #ordered = 0;

  constructor(options: { term: number; nowMs: () => number; patienceMs: number; mayDoubt: () => boolean }) {
    this.#term = options.term;
    this.#nowMs = options.nowMs;
    this.#patienceMs = options.patienceMs;
    this.#mayDoubt = options.mayDoubt;
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
    const { message, term, incarnation } = body as Envelope;
    // What is not of this connection has no effect; that it has none is seen in everything else.
    if (message === undefined || term !== this.#term || incarnation !== line.incarnation) return;
    if (from === 1 && moment === 'arrived') this.hears(line);
    if (from === 0 && message.type === 'compute' && moment === 'sent') this.#order(line, message);
    if (from === 1 && message.type === 'goodbye' && moment === 'arrived') this.lost(line);
    if (from === 1 && message.type === 'partial') {
      this.#underWay.set(line, Math.max(0, (this.#underWay.get(line) ?? 0) + (moment === 'sent' ? 1 : -1)));
      if (moment === 'arrived') this.#answer(line, message);
    }
  }

  /** Something has come on a line that is open. */
  hears(line: Line): void {
    this.#heardMs.set(line, this.#nowMs());
  }

  /** How long the open line has been silent that has been silent for longest. */
  get silentMs(): number {
    let silentMs = 0;
    for (const heardMs of this.#heardMs.values()) silentMs = Math.max(silentMs, this.#nowMs() - heardMs);
    return silentMs;
  }

  /** The coordinator's end of a line has closed: what was ordered on it is to be computed by others. */
  lost(line: Line): void {
    this.#underWay.delete(line);
    this.#heardMs.delete(line);
    for (const record of this.#shards.values()) {
      if (!record.holders.delete(line)) continue;
      record.losses += 1;
      this.mostLosses = Math.max(this.mostLosses, record.losses);
    }
  }

  /** A worker begins a shard: nobody computes what was not ordered, or one order twice. */
  computes(): void {
    this.#computed += 1;
    if (this.#computed <= this.#ordered) return;
    throw new InvariantBroken('I3', `${this.#computed} shards were computed, ${this.#ordered} were ordered`);
  }

  #order(line: Line, { round = 0, lo = 0, hi = 0 }: Message): void {
    for (let shard = lo; shard < hi; shard++) {
      const key = `${round}:${shard}`;
      const record = this.#shards.get(key) ?? {
        holders: new Map<Line, number>(),
        isAnswered: false,
        losses: 0,
      };
      this.#shards.set(key, record);
      this.#justify(key, record);
      record.holders.set(line, this.#nowMs());
      this.#ordered += 1;
    }
  }

  /** Why a shard is ordered: nobody has it, or whoever has it is slow, or what came of it is doubted. */
  #justify(key: string, { holders, isAnswered }: ShardRecord): void {
    if (this.#mayDoubt()) return;
    if (isAnswered) throw new InvariantBroken('I3', `shard ${key} was answered, and is ordered again`);
    for (const line of holders.keys()) {
      const heldMs = this.#nowMs() - this.#oldestOrderMs(line);
      if (heldMs < this.#patienceMs)
        throw new InvariantBroken('I3', `shard ${key} is ordered again after ${heldMs} ms`);
    }
  }

  /** A worker that is late with one thing is late with all that it was ordered since. */
  #oldestOrderMs(line: Line): number {
    let oldestMs = this.#nowMs();
    for (const { holders } of this.#shards.values())
      oldestMs = Math.min(oldestMs, holders.get(line) ?? oldestMs);
    return oldestMs;
  }

  #answer(line: Line, { round = 0, lo = 0, hi = 0 }: Message): void {
    for (let shard = lo; shard < hi; shard++) {
      const record = this.#shards.get(`${round}:${shard}`);
      if (record?.holders.delete(line)) record.isAnswered = true;
    }
  }
}
