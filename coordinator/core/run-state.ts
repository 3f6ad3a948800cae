import type { ErrorCode } from '../../shared/errors.js';
import type { ShardRange } from '../../shared/tree.js';
import type { DeadlineLimits, Durations } from './durations.js';
import type { Answer, Failure, RoundProgress, RoundSpec } from './round.js';
import type { Order } from './split.js';

/** A worker as the run sees it. Numbers are never reused, so a number names one incarnation. */
export interface Member {
  readonly worker: number;
  /**
   * `joined`: nothing to prepare yet. `preparing`: it builds its program. `ready`: it can compute. `failed`: it could
   * not compute a shard of the round in flight, and is given nothing until another has tried.
   */
  readonly phase: 'joined' | 'preparing' | 'ready' | 'failed';
  /** When it entered its phase. */
  readonly sinceMs: number;
  readonly lastHeardMs: number;
  /** What it needed to compute its canary; null where there was none. */
  readonly canaryMs: number | null;
  /** Since when it could be computing the first unit that it has: it was ordered, or its last answer came. */
  readonly turnMs: number;
  /** Since when that unit is past its deadline; null while it is in time. */
  readonly lateSinceMs: number | null;
}

/** A unit that a worker still computes although its round is over. Its answer will be compared. */
export interface Debt {
  readonly worker: number;
  readonly spec: RoundSpec;
  readonly range: ShardRange;
  /** What was committed. */
  readonly accepted: Answer;
}

export interface RunLimits extends DeadlineLimits {
  /** A worker that says nothing for so long is lost. */
  readonly silenceMs: number;
  /** A worker that takes longer to load its backend and build its program is lost. */
  readonly prepareMs: number;
  /** A worker that is heard but gives no answer for so long, and for many times the deadline, is lost. */
  readonly answerMs: number;
  /** With no worker ready, or preparing, for so long, the run stops. */
  readonly withoutWorkersMs: number;
  /** A shard that was held by so many lost workers stops the run. */
  readonly lossesPerShard: number;
  /** A tick that comes later after the one before shows that the coordinator itself was held up. */
  readonly heldUpMs: number;
}

export const defaultLimits: RunLimits = {
  silenceMs: 30_000,
  prepareMs: 120_000,
  answerMs: 600_000,
  withoutWorkersMs: 60_000,
  lossesPerShard: 5,
  heldUpMs: 1_000,
  deadlineFloorMs: 1_000,
  warmUpMs: 10_000,
  unknownShardMs: 60_000,
};

export interface StopCause {
  readonly code: ErrorCode;
  readonly message: string;
  readonly hint: string;
  /** What it is about, where it is about one shard. */
  readonly at?: { readonly spec: RoundSpec; readonly shard: number };
}

export interface Membership {
  readonly members: ReadonlyMap<number, Member>;
  readonly lastTickMs: number;
  /** Since when no worker has been ready; null while one is. */
  readonly withoutWorkersSinceMs: number | null;
  /** Of workers that are here: one per unit that they were ordered and that others have answered first. */
  readonly debts: readonly Debt[];
  readonly durations: Durations;
}

/** The decisions of a run: who is a member, and who computes which shard. */
export type RunState =
  | (Membership & { readonly phase: 'idle' })
  | (Membership & { readonly phase: 'working'; readonly round: RoundProgress })
  | { readonly phase: 'stopped'; readonly cause: StopCause };

export type Running = Exclude<RunState, { phase: 'stopped' }>;
export type Working = Extract<RunState, { phase: 'working' }>;

export type RunInput =
  | { readonly type: 'joined'; readonly worker: number }
  /** The worker was told what program to build. */
  | { readonly type: 'preparing'; readonly worker: number }
  | { readonly type: 'ready'; readonly worker: number; readonly canaryMs: number | null }
  | { readonly type: 'heard'; readonly worker: number }
  /** `saidGoodbye`: it was asked to leave, so that no shard is to blame. */
  | { readonly type: 'left'; readonly worker: number; readonly reason: string; readonly saidGoodbye?: true }
  | { readonly type: 'begin'; readonly round: RoundSpec }
  | {
      readonly type: 'partial';
      readonly worker: number;
      readonly roundId: number;
      readonly range: ShardRange;
      /** Of the raw payload; needed where `isCompared` says so, and where it is not finite. */
      readonly digest: string | null;
      /** Whether gradient and moments hold neither NaN nor Inf; true where that does not matter. */
      readonly finite: boolean;
    }
  /** A worker could not carry out an order: nothing more comes of it. */
  | FailureReport
  /** Nothing can go on: a worker met an error that others would meet as well, or no worker can come any more. */
  | { readonly type: 'stop'; readonly cause: StopCause }
  | { readonly type: 'tick' };

export interface FailureReport extends Pick<Failure, 'worker' | 'code' | 'message' | 'hint'> {
  readonly type: 'failed';
  readonly roundId: number;
  /** Of the order. */
  readonly range: ShardRange;
  /** The shard that it was at; null if it does not say. */
  readonly shard: number | null;
  /** Whether workers may come that have not been there yet. */
  readonly othersMayCome: boolean;
}

/** Which unit of which round, for people and for counters. */
export interface UnitAddress {
  readonly spec: RoundSpec;
  readonly range: ShardRange;
}

export type RunEffect =
  /** Send weights if it lacks them, the data of the shards if it lacks them, and the order to compute. */
  | (Order & { readonly type: 'compute'; readonly roundId: number })
  /** The worker did what it was asked to, whatever becomes of its answer. */
  | { readonly type: 'credit'; readonly worker: number; readonly range: ShardRange }
  /** Hold the answer until another has confirmed it. */
  | { readonly type: 'keep'; readonly worker: number; readonly range: ShardRange }
  /** Add the worker's answer to the sum: the one that has just come, or the one that was kept. */
  | { readonly type: 'accept'; readonly worker: number; readonly range: ShardRange }
  /** Nothing that was accepted so far counts: the sum begins anew. */
  | { readonly type: 'restart' }
  | { readonly type: 'reject'; readonly worker: number; readonly code: 'stale_step' | 'not_assigned' }
  | { readonly type: 'complete'; readonly roundId: number }
  /** Shards that must be computed again: those who held them are lost, or cannot be believed. */
  | { readonly type: 'recompute'; readonly shards: number }
  /** Two workers gave other bits for the same unit. */
  | { readonly type: 'disagreement'; readonly unit: UnitAddress; readonly workers: readonly number[] }
  /** Nobody could confirm an answer; it was accepted. */
  | {
      readonly type: 'unconfirmed';
      readonly worker: number;
      readonly unit: UnitAddress;
      readonly finite: boolean;
    }
  | { readonly type: 'evict'; readonly worker: number; readonly reason: string }
  /** What it computed is wrong: two others agree on other bits. */
  | {
      readonly type: 'exclude';
      readonly worker: number;
      readonly unit: UnitAddress;
      readonly by: readonly number[];
    }
  /** A worker could not compute a shard; another is to try. */
  | { readonly type: 'doubt'; readonly spec: RoundSpec; readonly failure: Failure }
  /** It could not compute a shard that another has computed. */
  | {
      readonly type: 'dismiss';
      readonly spec: RoundSpec;
      readonly failure: Failure;
      readonly by: number;
    }
  | { readonly type: 'stop'; readonly cause: StopCause };

export type Transition = readonly [RunState, readonly RunEffect[]];

export function initialState(nowMs: number): RunState {
  return {
    phase: 'idle',
    members: new Map(),
    lastTickMs: nowMs,
    withoutWorkersSinceMs: nowMs,
    debts: [],
    durations: new Map(),
  };
}

export function readyWorkers(state: RunState): number[] {
  if (state.phase === 'stopped') return [];
  return [...state.members.values()]
    .filter((member) => member.phase === 'ready')
    .map((member) => member.worker);
}

/**
 * The workers among whom shards are dealt: those that are ready and have answered for all earlier rounds. If each of
 * them still owes an answer, those that are in time with it; if none is, all.
 */
export function candidates(state: RunState): number[] {
  if (state.phase === 'stopped') return [];
  const ready = readyWorkers(state);
  const owing = new Set(state.debts.map(({ worker }) => worker));
  const free = ready.filter((worker) => !owing.has(worker));
  if (free.length > 0 || ready.length === 0) return free;
  const inTime = ready.filter((worker) => state.members.get(worker)?.lateSinceMs === null);
  return inTime.length > 0 ? inTime : ready;
}

/** Notes since when nobody is ready. */
export function withMembers<State extends Running>(
  state: State,
  members: ReadonlyMap<number, Member>,
  nowMs: number,
): State {
  const anyReady = [...members.values()].some((member) => member.phase === 'ready');
  const withoutWorkersSinceMs = anyReady ? null : (state.withoutWorkersSinceMs ?? nowMs);
  return { ...state, members, withoutWorkersSinceMs };
}

export function isLate(state: Running, worker: number): boolean {
  return state.members.get(worker)?.lateSinceMs !== null;
}

export function stop(cause: StopCause): Transition {
  return [{ phase: 'stopped', cause }, [{ type: 'stop', cause }]];
}
