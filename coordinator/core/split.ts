import type { ShardRange } from '../../shared/tree.js';
import { pendingRanges, type RoundProgress, type RoundSpec, sizeOf } from './round.js';

/** Shards that a worker is to compute, and why. */
export interface Order {
  readonly worker: number;
  readonly range: ShardRange;
  /**
   * `first`: nobody computes them. `audit`: another computes them too, so that both can be compared.
   * `duplicate`: whoever has them takes too long. `confirm`: what came of them is doubtful.
   */
  readonly why: 'first' | 'audit' | 'duplicate' | 'confirm';
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

/** Cuts a range where audited shards begin and end: they are units of their own. */
function cutAtAudited({ lo, hi }: ShardRange, audited: readonly number[]): ShardRange[] {
  const ranges: ShardRange[] = [];
  let from = lo;
  for (const shard of audited) {
    if (shard < lo || shard >= hi) continue;
    if (from < shard) ranges.push({ lo: from, hi: shard });
    ranges.push({ lo: shard, hi: shard + 1 });
    from = shard + 1;
  }
  if (from < hi) ranges.push({ lo: from, hi });
  return ranges;
}

/** The orders that begin a round: every shard once, audited ones a second time for whoever has the least to do. */
export function splitRound(spec: RoundSpec, workers: readonly number[]): Order[] {
  const orders: Order[] = [];
  const load = new Map(workers.map((worker) => [worker, 0]));
  const give = (order: Order): void => {
    orders.push(order);
    load.set(order.worker, (load.get(order.worker) ?? 0) + sizeOf(order.range));
  };
  for (const [worker, whole] of splitShards(spec.present, workers, spec.id)) {
    for (const range of cutAtAudited(whole, spec.audited)) give({ worker, range, why: 'first' });
  }
  for (const shard of spec.audited) {
    const range = { lo: shard, hi: shard + 1 };
    const first = orders.find((order) => order.range.lo === shard);
    const second = leastLoaded(load, (worker) => worker !== first?.worker);
    if (second !== null) give({ worker: second, range, why: 'audit' });
  }
  return orders;
}

/** Deals pending shards to idle workers: contiguous, even, first come first. */
export function dealPending(round: RoundProgress, idle: readonly number[]): Order[] {
  const pending = pendingRanges(round);
  const total = pending.reduce((sum, range) => sum + sizeOf(range), 0);
  const dealt: Order[] = [];
  if (idle.length === 0 || total === 0) return dealt;
  const quotas = splitShards(total, idle, round.spec.id);
  let [next, ...rest] = pending;
  for (const worker of idle) {
    const quota = quotas.get(worker);
    let left = quota === undefined ? 0 : sizeOf(quota);
    while (left > 0) {
      const take = Math.min(left, sizeOf(next));
      for (const range of cutAtAudited({ lo: next.lo, hi: next.lo + take }, round.spec.audited)) {
        dealt.push({ worker, range, why: 'first' });
      }
      left -= take;
      if (next.lo + take < next.hi) next = { lo: next.lo + take, hi: next.hi };
      else if (rest.length > 0) [next, ...rest] = rest;
    }
  }
  return dealt;
}

/** Of those that may, the one that has the least to do; the first of equals. */
export function leastLoaded(
  load: ReadonlyMap<number, number>,
  mayTake: (worker: number) => boolean,
): number | null {
  let best: { worker: number; shards: number } | null = null;
  for (const [worker, shards] of load) {
    if (mayTake(worker) && (best === null || shards < best.shards)) best = { worker, shards };
  }
  return best?.worker ?? null;
}
