import { type Holder, type ShardStatus, shardStatuses } from './core/round.js';
import type { RunLimits, RunState } from './core/run.js';
import { waitingFor } from './core/waiting-for.js';
import { turnOf } from './core/watch.js';
import type { FaultCounts } from './fault-counts.js';
import type { WorkerTally } from './round.js';

/** A shard of the round in flight; `forMs` is how long its holder has had it. */
export interface StatusOfShard {
  readonly shard: number;
  readonly status: ShardStatus['status'];
  readonly holders: readonly { readonly worker: number; readonly forMs: number }[];
}

export interface StatusOfWorker {
  readonly worker: number;
  /** Null until it was ready for the first time. */
  readonly host: string | null;
  readonly pid: number | null;
  readonly phase: 'joined' | 'preparing' | 'ready' | 'failed';
  /** How long it has been in that phase. */
  readonly forMs: number;
  /** How long it has been silent. */
  readonly lastHeardMs: number;
  /** The unit that it computes now, or null. A round's steps and batches count from 0; so do shards, `hi` exclusive. */
  readonly computes: {
    readonly kind: 'train' | 'evaluate' | 'predict';
    readonly step: number;
    readonly lo: number;
    readonly hi: number;
    readonly forMs: number;
    /** Until another worker computes it as well; 0 when that is due. */
    readonly deadlineInMs: number;
    /** Until the worker is lost if it does not answer. */
    readonly lostInMs: number;
  } | null;
  readonly shardsComputed: number;
  readonly computeMs: number;
  readonly networkMs: number;
  readonly idleMs: number;
}

/** What a cluster does at this moment: plain JSON, times in milliseconds. */
export interface ClusterStatus {
  readonly phase: 'idle' | 'working' | 'stopped';
  /** The round in flight, or null. */
  readonly round: {
    readonly id: number;
    readonly kind: 'train' | 'evaluate' | 'predict';
    /** Global step, or batch of an evaluation; from 0. */
    readonly step: number;
    readonly forMs: number;
    readonly shards: readonly StatusOfShard[];
  } | null;
  /** What is waited for, and what happens next and when; null when nothing is. */
  readonly waitingFor: string | null;
  /** Why the run stopped, or null. */
  readonly stopped: string | null;
  readonly workers: readonly StatusOfWorker[];
  readonly shardsRecomputed: number;
  readonly shardsDuplicated: number;
  readonly shardsAudited: number;
  readonly disagreements: number;
  readonly excluded: FaultCounts['excluded'];
}

export interface StatusSources {
  readonly state: RunState;
  readonly limits: RunLimits;
  /** Of workers that were ready. */
  readonly tallies: readonly WorkerTally[];
  readonly counts: Readonly<FaultCounts>;
  /** What is waited for between rounds that no worker gives, for people; null for nothing. */
  readonly outside: string | null;
}

export function statusOf(
  { state, limits, tallies, counts, outside }: StatusSources,
  nowMs: number,
): ClusterStatus {
  const { recomputed, duplicated, audited, disagreements, excluded } = counts;
  return {
    phase: state.phase,
    round: roundOf(state, nowMs),
    waitingFor: state.phase === 'idle' ? outside : waitingFor(state, nowMs, limits),
    stopped: state.phase === 'stopped' ? state.cause.message : null,
    workers: workersOf(state, limits, tallies, nowMs),
    shardsRecomputed: recomputed,
    shardsDuplicated: duplicated,
    shardsAudited: audited,
    disagreements,
    excluded: [...excluded],
  };
}

function roundOf(state: RunState, nowMs: number): ClusterStatus['round'] {
  if (state.phase !== 'working') return null;
  const { spec, startedMs } = state.round;
  const { id, kind, step } = spec;
  const held = (holders: readonly Holder[]): StatusOfShard['holders'] =>
    holders.map(({ worker, sinceMs }) => ({ worker, forMs: nowMs - sinceMs }));
  const shards = shardStatuses(state.round).map((shard, index): StatusOfShard => {
    const holders = shard.status === 'assigned' || shard.status === 'unconfirmed' ? held(shard.holders) : [];
    return { shard: index, status: shard.status, holders };
  });
  return { id, kind, step, forMs: nowMs - startedMs, shards };
}

function workersOf(
  state: RunState,
  limits: RunLimits,
  tallies: readonly WorkerTally[],
  nowMs: number,
): StatusOfWorker[] {
  if (state.phase === 'stopped') return [];
  return [...state.members.values()].map((member): StatusOfWorker => {
    const { worker, phase, sinceMs, lastHeardMs } = member;
    const tally = tallies.find(({ row }) => row.worker === worker);
    const turn = turnOf(state, member, limits);
    return {
      worker,
      host: tally?.row.host ?? null,
      pid: tally?.row.pid ?? null,
      phase,
      forMs: nowMs - sinceMs,
      lastHeardMs: nowMs - lastHeardMs,
      computes:
        turn === null
          ? null
          : {
              kind: turn.spec.kind,
              step: turn.spec.step,
              ...turn.range,
              forMs: nowMs - turn.sinceMs,
              deadlineInMs: Math.max(0, turn.deadlineMs - nowMs),
              lostInMs: Math.max(0, turn.lostMs - nowMs),
            },
      shardsComputed: tally?.shardsComputed ?? 0,
      computeMs: tally?.hours.computeMs ?? 0,
      networkMs: tally?.hours.networkMs ?? 0,
      idleMs: tally?.hours.idleMs ?? 0,
    };
  });
}
