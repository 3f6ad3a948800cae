import { InvariantBroken } from './invariants.js';
import type { Line } from './line.js';
import type { ShardRecord, TrafficOptions } from './traffic.js';

/** Whose answers are in the sum of a round: each shard has as many as it needs, of workers that are sound. */
export class Answers {
  readonly #shards: ReadonlyMap<string, ShardRecord>;
  readonly #options: Pick<TrafficOptions, 'audited'>;
  /** Workers whose answer differs from one before, and the coordinator has not told so yet, nor sent them away. */
  readonly #unnoticed = new Set<Line>();
  /** Whether a worker was sent away for wrong numbers in this round: then some of it is computed anew. */
  #isPurged = false;
  /** Whether it was told that nobody can confirm what is to be computed twice: that is told once. */
  #isUnconfirmed = false;
  /** Workers whose answer differs from that of two others, which is known now: they are to be sent away. */
  readonly #convicted = new Set<Line>();
  /** Workers some of whose answers are spoiled, one does not see which: nobody is convicted by theirs. */
  readonly #suspects = new WeakSet<Line>();
  /** Rounds up to this one are over: an answer for one of them that differs stops the run. */
  #committed = 0;

  constructor(shards: ReadonlyMap<string, ShardRecord>, options: Pick<TrafficOptions, 'audited'>) {
    this.#shards = shards;
    this.#options = options;
  }

  /** A round begins. */
  begins(): void {
    this.#isPurged = false;
  }

  /** A shard is ordered of a worker. */
  ordered(line: Line, { round, shard, holders, answeredOn }: ShardRecord): void {
    if (holders.has(line))
      throw new InvariantBroken('I3', `shard ${round}:${shard} is ordered twice of one worker`);
    if (!this.#isPurged && answeredOn.includes(line))
      throw new InvariantBroken('I1', `shard ${round}:${shard} is to be confirmed by who has answered it`);
  }

  /** An answer has come. @param isWrong whether it is not what the shard gives */
  came(line: Line, record: ShardRecord, isWrong: boolean): void {
    // It is compared with the answer that came before.
    if (isWrong && record.answeredOn.length > 0) {
      this.#unnoticed.add(line);
      record.isDisputed = true;
    }
    record.answeredOn = [...record.answeredOn, line];
    if (isWrong) record.wrongOn.add(line);
    const sound = record.answeredOn.filter(
      (other) => !record.wrongOn.has(other) && !this.#suspects.has(other),
    );
    const isDecided = sound.length > 1 && record.kind === 'train' && record.round > this.#committed;
    if (isDecided) for (const other of record.wrongOn) this.#convict(other);
    // Whose answer differs when it is a suspect's, one does not see: what it sent may be computed anew.
    const isAnyLost = record.answeredOn.some((other) => this.#suspects.has(other) && !isOpen(other));
    if (isAnyLost && record.answeredOn.length > 2) this.#isPurged = true;
  }

  /** Who is there still is to be sent away; nobody tells who has left, and what it sent does not count either. */
  #convict(line: Line): void {
    if (isOpen(line)) this.#convicted.add(line);
    else this.purge(line);
  }

  /** Some of a worker's answers are not what their shards give. */
  suspect(line: Line): void {
    this.#suspects.add(line);
  }

  /** The coordinator has told that two answers differ. */
  noticed(): void {
    this.#unnoticed.clear();
  }

  /** The coordinator has told that nobody can confirm an answer. */
  unconfirmed(): void {
    this.#isUnconfirmed = true;
  }

  /**
   * A worker is sent away for wrong numbers: nothing that it sent in this round may stay in the sum. What came first
   * and was confirmed is in it; so is what nobody confirms.
   */
  purge(line: Line): void {
    this.#isPurged = true;
    this.#convicted.delete(line);
    this.#unnoticed.delete(line);
    for (const record of this.#shards.values()) {
      if (record.answeredOn[0] === line)
        record.answeredOn = record.answeredOn.filter((other) => other !== line);
    }
  }

  /** After every event. */
  settled(): void {
    if (this.#unnoticed.size > 0) throw new InvariantBroken('I1', 'two answers differ, and nobody was told');
    for (const line of this.#convicted) {
      if (isOpen(line))
        throw new InvariantBroken('I1', 'a worker computed other numbers than two others, and stays');
    }
    this.#convicted.clear();
  }

  /** The sum of a round is about to be applied. */
  committing(inRound: number, step: number): void {
    this.#committed = inRound;
    const present = [...this.#shards.values()].filter(({ round }) => round === inRound);
    const audited = this.#isUnconfirmed ? [] : this.#options.audited(step, present.length);
    for (const { shard, answeredOn, isDisputed } of present) {
      // A third decides, and whoever is wrong is sent away, unless it has left.
      const wanted = isDisputed && !this.#isPurged ? 3 : audited.includes(shard) ? 2 : 1;
      if (answeredOn.length >= wanted) continue;
      const got = `${answeredOn.length} sound answers of ${wanted}`;
      throw new InvariantBroken('I1', `shard ${inRound}:${shard} is committed with ${got}`);
    }
  }
}

function isOpen({ ends }: Line): boolean {
  return ends[0].isOpen;
}
