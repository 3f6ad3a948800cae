import { Answers } from './answers.js';
import { Dealing } from './dealing.js';
import type { Envelope, Message } from './envelope.js';
import { InvariantBroken } from './invariants.js';
import { limits } from './limits.js';
import type { Line } from './line.js';
import { Members } from './members.js';
import { Verdicts } from './verdicts.js';

/** One shard of one round. */
export interface ShardRecord {
  readonly round: number;
  /** Of the round: whether it trains. */
  readonly kind: string;
  readonly shard: number;
  /** Lines on which it is outstanding, with the time of the order. */
  readonly holders: Map<Line, number>;
  isAnswered: boolean;
  /** Whether two answers for it differ. */
  isDisputed: boolean;
  /** Lines on which an answer for it has come, in their order. */
  answeredOn: readonly Line[];
  /** Those of them whose answer is not what the shard gives. */
  readonly wrongOn: Set<Line>;
  /** How often a worker died over it. */
  losses: number;
  /** How many workers could not compute it. */
  failures: number;
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
  /** Whether shards are computed twice. */
  readonly audits: boolean;
  /** Of the present shards of a step those that two workers must agree on. */
  readonly audited: (step: number, present: number) => readonly number[];
  /** Whether a shard may be computed again although an answer for it has come. */
  readonly mayDoubt: () => boolean;
}

/**
 * What is on the wires of one coordinator: who was ordered what and has not answered. From that follows how many
 * shards may be computed: each once, and again only where its holder was lost, took long, or is to be checked.
 */
export class Traffic {
  /** The most workers that died over one shard. */
  mostLosses = 0;
  readonly members: Members;
  readonly answers: Answers;
  readonly verdicts = new Verdicts();
  readonly #options: TrafficOptions;
  readonly #dealing: Dealing;
  /** By `round:shard`: of the present round, and those that are still outstanding. */
  readonly #shards = new Map<string, ShardRecord>();
  /** Of training, as `step:shard`. */
  readonly #trained = new Set<string>();
  /** Partials that were sent on a line and have not arrived. */
  readonly #underWay = new Map<Line, number>();
  /** Lines whose next partial is not what its shards give, then which one that is, as `round:lo`. */
  readonly #wrong = new Map<Line, string | null>();
  #round = 0;
  #step: number | null = null;
  /** For how long those that are gone had owed an answer, by number. */
  readonly #owedMs = new Map<number | null, number>();
  #computed = 0;
  #ordered = 0;

  constructor(options: TrafficOptions) {
    this.#options = options;
    this.members = new Members(options);
    this.answers = new Answers(this.#shards, options);
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
      if (from === 1 && moment === 'arrived') this.verdicts.futile(line);
      return;
    }
    const { type } = message;
    if (moment === 'sent') this.members.sent(line, from, type);
    else this.members.arrived(line, from, type);
    if (from === 0 && moment === 'sent') this.#say(line, message);
    if (from === 1 && moment === 'arrived' && type === 'goodbye') {
      this.verdicts.left(line);
      this.lost(line);
    }
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

  /** The coordinator says something to a worker. */
  #say(line: Line, message: Message): void {
    const { type, code = '', round } = message;
    if (type === 'compute') this.#order(line, message);
    if (type === 'cancel' && this.holds(line, round))
      throw new InvariantBroken('I3', `round ${round} is cancelled, and an answer for it is outstanding`);
    if (type !== 'rejected') return;
    this.verdicts.rejected(line, code);
    if (code === 'wrong_result') this.answers.purge(line);
  }

  /** After every event: what it should have led to at once. */
  settled(): void {
    this.verdicts.settled();
    this.answers.settled();
    this.#dealing.settled();
  }

  /** Whether what is to be done is done in time. */
  check(): void {
    this.members.check();
    this.#dealing.check();
  }

  /** The sum of the present round is about to be applied. */
  committing(): void {
    this.answers.committing(this.#round, this.#step ?? 0);
  }

  /** Whether somebody's answer for a shard of a training step has come. */
  isAnswered(step: number, shard: number): boolean {
    return this.#trained.has(`${step}:${shard}`);
  }

  /** Whether something of a round is outstanding on a line. */
  holds(line: Line, inRound: number | undefined): boolean {
    return [...this.#shards.values()].some(({ round, holders }) => round === inRound && holders.has(line));
  }

  /** The next partial on a line will be wrong. */
  spoils(line: Line): void {
    this.#wrong.set(line, null);
  }

  /** The coordinator's end of a line has closed: what was ordered on it is to be computed by others. */
  lost(line: Line): void {
    this.#underWay.delete(line);
    this.members.remove(line);
    this.#owedMs.set(line.incarnation, this.#dealing.owedMs(line));
    for (const record of this.#shards.values()) {
      if (!record.holders.delete(line)) continue;
      const isOpen = !record.isAnswered || this.#options.mayDoubt();
      if (isOpen && !this.verdicts.hasParted(line)) record.losses += 1;
      record.freeSinceMs = this.#options.nowMs();
      this.mostLosses = Math.max(this.mostLosses, record.losses);
    }
  }

  /** A worker is lost although its line is open: it must have given a reason. */
  evicted(worker: number, reason: string): void {
    if (reason.startsWith('silent for')) this.members.lostForSilence(worker);
    const owedMs = this.#owedMs.get(worker) ?? limits.answerMs;
    if (reason.startsWith('no answer for') && owedMs < limits.answerMs)
      throw new InvariantBroken('I5', `worker ${worker} is lost for an answer that it owed for ${owedMs} ms`);
  }

  /** A worker begins a shard: nobody computes what was not ordered, or one order twice. */
  computes(): void {
    this.#computed += 1;
    if (this.#computed <= this.#ordered) return;
    throw new InvariantBroken('I3', `${this.#computed} shards were computed, ${this.#ordered} were ordered`);
  }

  #order(line: Line, { kind = '', round = 0, step = 0, lo = 0, hi = 0 }: Message): void {
    if (round > this.#round) this.#begin(round, kind === 'train' ? step : null);
    this.#dealing.ordered(line, hi - lo);
    for (let shard = lo; shard < hi; shard++) {
      const key = `${round}:${shard}`;
      const freeSinceMs = this.#options.nowMs();
      const record = this.#shards.get(key) ?? {
        round,
        kind,
        shard,
        holders: new Map<Line, number>(),
        isAnswered: false,
        isDisputed: false,
        answeredOn: [],
        wrongOn: new Set<Line>(),
        losses: 0,
        failures: 0,
        freeSinceMs,
      };
      this.#shards.set(key, record);
      this.answers.ordered(line, record);
      this.#justify(key, record);
      record.holders.set(line, this.#options.nowMs());
      this.#ordered += 1;
    }
  }

  #begin(round: number, step: number | null): void {
    this.#round = round;
    this.#step = step;
    this.answers.begins();
    for (const [key, { holders }] of this.#shards) if (holders.size === 0) this.#shards.delete(key);
    this.#dealing.begins(round);
  }

  /** Why a shard is ordered: nobody has it, or whoever has it is slow, or what came of it is doubted. */
  #justify(key: string, { holders, isAnswered, losses, failures }: ShardRecord): void {
    if (this.#options.mayDoubt()) return;
    if (failures > 1)
      throw new InvariantBroken('I5', `two workers failed at shard ${key}, and it is ordered again`);
    if (losses >= limits.lossesPerShard)
      throw new InvariantBroken('I5', `${losses} workers died over shard ${key}, and it is ordered again`);
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
    const first = this.#shards.get(`${round}:${lo}`);
    const orderedMs = first?.holders.get(line);
    if (first === undefined || orderedMs === undefined) return this.verdicts.futile(line);
    this.#dealing.answered(line, first.kind, hi - lo, orderedMs);
    for (let shard = lo; shard < hi; shard++) {
      const record = this.#shards.get(`${round}:${shard}`);
      if (record?.holders.delete(line) !== true) continue;
      this.answers.came(line, record, isWrong);
      record.isAnswered = true;
      if (round === this.#round && this.#step !== null) this.#trained.add(`${this.#step}:${shard}`);
    }
  }

  /** A worker says that it cannot compute an order that it has: all that it has of the round goes to others. */
  #fail(line: Line, { order, shard }: Message): void {
    if (order === null) this.verdicts.failed(line);
    if (order === null || order === undefined) return;
    const held = [...this.#shards.values()].filter(
      ({ round, holders }) => round === order.round && holders.has(line),
    );
    const ordered = held.filter((record) => order.lo <= record.shard && record.shard < order.hi);
    if (ordered.length === 0) return;
    this.members.failed(line);
    this.verdicts.failed(line);
    for (const record of ordered) if (record.shard === shard) record.failures += 1;
    for (const record of held) {
      record.holders.delete(line);
      record.freeSinceMs = this.#options.nowMs();
    }
  }
}
