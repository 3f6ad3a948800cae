import { type ShardRange, subtreesOf } from '../../shared/tree.js';

/** One piece of work for all workers together: the shards of one batch under one version of the weights. */
export interface RoundSpec {
  /** Counts up over the life of a cluster; a message that names another round is stale. */
  readonly id: number;
  readonly kind: 'train' | 'evaluate' | 'predict';
  /** S. */
  readonly shards: number;
  /** Shards that hold samples; they are the first ones. */
  readonly present: number;
}

/** Where one shard stands. */
export type ShardStatus =
  | { readonly status: 'pending' }
  | { readonly status: 'assigned'; readonly worker: number; readonly sinceMs: number }
  | { readonly status: 'done'; readonly worker: number };

export interface RoundProgress {
  readonly spec: RoundSpec;
  readonly startedMs: number;
  /** One per present shard. */
  readonly statuses: readonly ShardStatus[];
  /** Per present shard, how many workers were lost while they held it. */
  readonly losses: readonly number[];
}

export function beginRound(spec: RoundSpec, nowMs: number): RoundProgress {
  return {
    spec,
    startedMs: nowMs,
    statuses: Array.from({ length: spec.present }, () => ({ status: 'pending' as const })),
    losses: new Array<number>(spec.present).fill(0),
  };
}

/**
 * Cuts `[0, present)` into one contiguous range per worker, as even as it goes, so that whole subtrees are
 * summed where they are computed. The remainder moves around with the round's id: over many rounds every
 * worker gets its fair share.
 */
export function splitShards(
  present: number,
  workers: readonly number[],
  roundId: number,
): Map<number, ShardRange> {
  const ranges = new Map<number, ShardRange>();
  const count = workers.length;
  const base = Math.floor(present / count);
  const extra = present % count;
  let lo = 0;
  for (let i = 0; i < count; i++) {
    const takesExtra = (i + count - (roundId % count)) % count < extra;
    const hi = lo + base + (takesExtra ? 1 : 0);
    if (hi > lo) ranges.set(workers[i], { lo, hi });
    lo = hi;
  }
  return ranges;
}

/** Maximal runs of pending shards, each within `[0, present)`. */
export function pendingRanges(round: RoundProgress): ShardRange[] {
  const ranges: ShardRange[] = [];
  round.statuses.forEach(({ status }, shard) => {
    if (status !== 'pending') return;
    const last = ranges.at(-1);
    if (last !== undefined && last.hi === shard) ranges[ranges.length - 1] = { lo: last.lo, hi: shard + 1 };
    else ranges.push({ lo: shard, hi: shard + 1 });
  });
  return ranges;
}

/** Deals pending shards to idle workers: contiguous, even, first come first. */
export function dealPending(
  round: RoundProgress,
  idle: readonly number[],
): { worker: number; range: ShardRange }[] {
  const pending = pendingRanges(round);
  const total = pending.reduce((sum, { lo, hi }) => sum + hi - lo, 0);
  const dealt: { worker: number; range: ShardRange }[] = [];
  if (idle.length === 0 || total === 0) return dealt;
  const quotas = splitShards(total, idle, round.spec.id);
  let [next, ...rest] = pending;
  for (const worker of idle) {
    const quota = quotas.get(worker);
    let left = quota === undefined ? 0 : quota.hi - quota.lo;
    while (left > 0) {
      const take = Math.min(left, next.hi - next.lo);
      dealt.push({ worker, range: { lo: next.lo, hi: next.lo + take } });
      left -= take;
      if (next.lo + take < next.hi) next = { lo: next.lo + take, hi: next.hi };
      else if (rest.length > 0) [next, ...rest] = rest;
    }
  }
  return dealt;
}

export function withStatus(round: RoundProgress, range: ShardRange, status: ShardStatus): RoundProgress {
  return {
    ...round,
    statuses: round.statuses.map((old, shard) => (shard >= range.lo && shard < range.hi ? status : old)),
  };
}

/** Takes back what a lost worker held; its shards are pending again and remember the loss. */
export function withoutWorker(round: RoundProgress, worker: number): RoundProgress {
  const held = round.statuses.map((status) => status.status === 'assigned' && status.worker === worker);
  return {
    ...round,
    statuses: round.statuses.map((status, shard) => (held[shard] ? { status: 'pending' } : status)),
    losses: round.losses.map((losses, shard) => losses + (held[shard] ? 1 : 0)),
  };
}

export function isComplete(round: RoundProgress): boolean {
  return round.statuses.every(({ status }) => status === 'done');
}

/** Whether `worker` holds every present shard of `range`, and `range` is a part it would send. */
export function holds(round: RoundProgress, worker: number, range: ShardRange): boolean {
  for (let shard = range.lo; shard < range.hi; shard++) {
    const status = round.statuses[shard];
    if (status === undefined || status.status !== 'assigned' || status.worker !== worker) return false;
  }
  const [first, ...others] = subtreesOf(range, round.spec.shards);
  return others.length === 0 && first !== undefined && first.lo === range.lo && first.hi === range.hi;
}
