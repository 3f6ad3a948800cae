import { type ErrorCode, invariant } from '../../shared/errors.js';
import { type ShardRange, subtreesOf } from '../../shared/tree.js';

/** One piece of work for all workers together: the shards of one batch under one version of the weights. */
export interface RoundSpec {
  /** Counts up over the life of a cluster; a message that names another round is stale. */
  readonly id: number;
  readonly kind: 'train' | 'evaluate' | 'predict';
  /** Global step, or batch of an evaluation or prediction; from 0. */
  readonly step: number;
  /** S. */
  readonly shards: number;
  /** Shards that hold samples; they are the first ones. */
  readonly present: number;
  /** c. Shards of one kind and size take about as long as each other. */
  readonly rowsPerShard: number;
  /** Shards that count only when two workers have given the same bits; ascending, all of them present. */
  readonly audited: readonly number[];
}

/** A worker that computes a unit. */
export interface Holder {
  readonly worker: number;
  readonly sinceMs: number;
}

/** What a worker sent for a unit. */
export interface Answer {
  readonly worker: number;
  /** Of the raw payload; null where nothing is to be compared with it. */
  readonly digest: string | null;
  readonly finite: boolean;
}

/** A subtree of shards that a worker computes and sends as one partial: what is duplicated and compared. */
export interface Unit {
  readonly range: ShardRange;
  /** Who computes it now. A unit that is done may still have holders, whose answers will be compared. */
  readonly holders: readonly Holder[];
  /** In the order of their arrival. */
  readonly answers: readonly Answer[];
  /** Whose answer is in the sum; null while none is. */
  readonly accepted: number | null;
}

/** A worker that could not compute a shard: whether that is its fault, or the job's, another worker decides. */
export interface Failure {
  readonly worker: number;
  readonly shard: number;
  /** As the worker gave it. */
  readonly code: ErrorCode;
  readonly message: string;
  readonly hint: string;
}

export interface RoundProgress {
  readonly spec: RoundSpec;
  readonly startedMs: number;
  /** In order, without overlap; shards of none are pending. */
  readonly units: readonly Unit[];
  /** Per present shard, how many workers were lost while they held it. */
  readonly losses: readonly number[];
  /** In the order they came; those of shards that another worker has computed are settled, and gone. */
  readonly failures: readonly Failure[];
}

export function sizeOf({ lo, hi }: ShardRange): number {
  return hi - lo;
}

export function beginRound(spec: RoundSpec, nowMs: number): RoundProgress {
  return { spec, startedMs: nowMs, units: [], losses: new Array<number>(spec.present).fill(0), failures: [] };
}

/** Maximal runs of pending shards, each within `[0, present)`. */
export function pendingRanges({ spec, units }: RoundProgress): ShardRange[] {
  const ranges: ShardRange[] = [];
  let lo = 0;
  for (const { range } of units) {
    if (lo < range.lo) ranges.push({ lo, hi: range.lo });
    lo = range.hi;
  }
  if (lo < spec.present) ranges.push({ lo, hi: spec.present });
  return ranges;
}

export function isAudited({ audited }: RoundSpec, { lo, hi }: ShardRange): boolean {
  return hi - lo === 1 && audited.includes(lo);
}

/** The unit of exactly this range. */
export function unitOf(round: RoundProgress, { lo, hi }: ShardRange): Unit | undefined {
  return round.units.find(({ range }) => range.lo === lo && range.hi === hi);
}

export function isHeldBy({ holders }: Unit, worker: number): boolean {
  return holders.some((holder) => holder.worker === worker);
}

export function hasAnswered({ answers }: Unit, worker: number): boolean {
  return answers.some((answer) => answer.worker === worker);
}

export function contains({ lo, hi }: ShardRange, shard: number): boolean {
  return lo <= shard && shard < hi;
}

/** The bits that two workers agree on; null if there are none yet. */
export function agreedDigest({ answers }: Unit): string | null {
  const seen = new Set<string>();
  for (const { digest } of answers) {
    if (digest === null) continue;
    if (seen.has(digest)) return digest;
    seen.add(digest);
  }
  return null;
}

/** Whether workers differ about a unit and no third has decided. */
export function isDisputed(unit: Unit): boolean {
  return unit.answers.length > 1 && agreedDigest(unit) === null;
}

export function isDone(unit: Unit): boolean {
  return unit.accepted !== null && !isDisputed(unit);
}

export function isComplete(round: RoundProgress): boolean {
  return pendingRanges(round).length === 0 && round.units.every(isDone);
}

/** Gives `range` to a worker: units of it that exist already have one holder more. */
export function withHolder(
  round: RoundProgress,
  worker: number,
  range: ShardRange,
  nowMs: number,
): RoundProgress {
  const holder = { worker, sinceMs: nowMs };
  const given = subtreesOf(range, round.spec.shards).map((part): Unit => {
    const old = unitOf(round, part) ?? { range: part, holders: [], answers: [], accepted: null };
    invariant(
      !isHeldBy(old, worker),
      `worker ${worker} is given shards ${part.lo} to ${part.hi - 1}, which it holds`,
    );
    return { ...old, holders: [...old.holders, holder] };
  });
  const others = round.units.filter((unit) => unit.range.hi <= range.lo || range.hi <= unit.range.lo);
  return { ...round, units: [...others, ...given].sort((a, b) => a.range.lo - b.range.lo) };
}

export function withUnit(round: RoundProgress, unit: Unit): RoundProgress {
  return {
    ...round,
    units: round.units.map((old) => (old.range.lo === unit.range.lo ? unit : old)),
  };
}

/**
 * Takes back what a lost worker held; shards that nobody else computes are pending again, and remember the loss if it
 * died over them.
 */
export function withoutWorker(round: RoundProgress, worker: number, died = true): RoundProgress {
  const losses = [...round.losses];
  const units = round.units.map((unit): Unit => {
    if (!isHeldBy(unit, worker)) return unit;
    if (died && unit.accepted === null) {
      for (let shard = unit.range.lo; shard < unit.range.hi; shard++) losses[shard] += 1;
    }
    return { ...unit, holders: unit.holders.filter((holder) => holder.worker !== worker) };
  });
  return { ...round, losses, units: units.filter(isTaken) };
}

/** Whether anything came of a unit, or will. What nobody computes and nobody has computed is pending. */
export function isTaken({ holders, answers, accepted }: Unit): boolean {
  return holders.length > 0 || answers.length > 0 || accepted !== null;
}

/** Where one shard stands. */
export type ShardStatus =
  | { readonly status: 'pending' }
  | { readonly status: 'assigned'; readonly holders: readonly Holder[] }
  /** Its answer is in, and another must confirm it first. */
  | {
      readonly status: 'unconfirmed';
      readonly answers: readonly Answer[];
      readonly holders: readonly Holder[];
    }
  | { readonly status: 'done'; readonly worker: number };

/** One per present shard. */
export function shardStatuses(round: RoundProgress): ShardStatus[] {
  const statuses = new Array<ShardStatus>(round.spec.present).fill({ status: 'pending' });
  for (const unit of round.units) statuses.fill(statusOf(unit), unit.range.lo, unit.range.hi);
  return statuses;
}

function statusOf(unit: Unit): ShardStatus {
  const { accepted, answers, holders } = unit;
  if (accepted !== null && isDone(unit)) return { status: 'done', worker: accepted };
  if (answers.length > 0) return { status: 'unconfirmed', answers, holders };
  return { status: 'assigned', holders };
}
