import { assertNever, type ErrorCode } from '../../shared/errors.js';
import type { ShardRange } from '../../shared/tree.js';
import {
  beginRound,
  dealPending,
  holds,
  isComplete,
  type RoundProgress,
  type RoundSpec,
  splitShards,
  withoutWorker,
  withStatus,
} from './round.js';

/** A worker as the run sees it. Numbers are never reused, so a number names one incarnation. */
export interface Member {
  readonly worker: number;
  /** `joined`: nothing to prepare yet. `preparing`: it builds its program. `ready`: it can compute. */
  readonly phase: 'joined' | 'preparing' | 'ready';
  /** When it entered its phase. */
  readonly sinceMs: number;
  readonly lastHeardMs: number;
}

export interface RunLimits {
  /** A worker that says nothing for so long is lost. */
  readonly silenceMs: number;
  /** A worker that takes longer to load its backend and build its program is lost. */
  readonly prepareMs: number;
  /** With no worker ready, or preparing, for so long, the run stops. */
  readonly withoutWorkersMs: number;
  /** A shard that was held by so many lost workers stops the run. */
  readonly lossesPerShard: number;
}

export const defaultLimits: RunLimits = {
  silenceMs: 30_000,
  prepareMs: 120_000,
  withoutWorkersMs: 60_000,
  lossesPerShard: 5,
};

export type StopCause = { readonly code: ErrorCode; readonly message: string; readonly hint: string };

interface Membership {
  readonly members: ReadonlyMap<number, Member>;
  readonly lastTickMs: number;
  /** Since when no worker has been ready; null while one is. */
  readonly withoutWorkersSinceMs: number | null;
}

/** The decisions of a run: who is a member, and who computes which shard. */
export type RunState =
  | (Membership & { readonly phase: 'idle' })
  | (Membership & { readonly phase: 'working'; readonly round: RoundProgress })
  | { readonly phase: 'stopped'; readonly cause: StopCause };

export type RunInput =
  | { readonly type: 'joined'; readonly worker: number }
  /** The worker was told what program to build. */
  | { readonly type: 'preparing'; readonly worker: number }
  | { readonly type: 'ready'; readonly worker: number }
  | { readonly type: 'heard'; readonly worker: number }
  | { readonly type: 'left'; readonly worker: number; readonly reason: string }
  | { readonly type: 'begin'; readonly round: RoundSpec }
  | {
      readonly type: 'partial';
      readonly worker: number;
      readonly roundId: number;
      readonly range: ShardRange;
    }
  /** Nothing can go on: a worker met an error that others would meet as well, or no worker can come any more. */
  | { readonly type: 'failed'; readonly cause: StopCause }
  | { readonly type: 'tick' };

export type RunEffect =
  /** Send weights if it lacks them, the data of the shards if it lacks them, and the order to compute. */
  | {
      readonly type: 'compute';
      readonly worker: number;
      readonly roundId: number;
      readonly range: ShardRange;
    }
  | { readonly type: 'accept'; readonly worker: number; readonly range: ShardRange }
  | { readonly type: 'reject'; readonly worker: number; readonly code: 'stale_step' | 'not_assigned' }
  | { readonly type: 'complete'; readonly roundId: number }
  /** Shards that a lost worker held and that others must compute now. */
  | { readonly type: 'recompute'; readonly shards: number }
  | { readonly type: 'evict'; readonly worker: number; readonly reason: string }
  | { readonly type: 'stop'; readonly cause: StopCause };

export type Transition = readonly [RunState, readonly RunEffect[]];

export function initialState(nowMs: number): RunState {
  return { phase: 'idle', members: new Map(), lastTickMs: nowMs, withoutWorkersSinceMs: nowMs };
}

export function readyWorkers(state: RunState): number[] {
  if (state.phase === 'stopped') return [];
  return [...state.members.values()]
    .filter((member) => member.phase === 'ready')
    .map((member) => member.worker);
}

/** The whole decision: total, pure, the same for the same arguments. */
export function transition(state: RunState, input: RunInput, nowMs: number, limits: RunLimits): Transition {
  if (state.phase === 'stopped') return [state, []];
  switch (input.type) {
    case 'joined':
    case 'preparing': {
      const member = { worker: input.worker, phase: input.type, sinceMs: nowMs, lastHeardMs: nowMs };
      return [withMember(state, member, nowMs), []];
    }
    case 'ready': {
      const member = state.members.get(input.worker);
      if (member === undefined) return [state, []];
      const ready = { ...member, phase: 'ready' as const, sinceMs: nowMs, lastHeardMs: nowMs };
      return assign(withMember(state, ready, nowMs), nowMs);
    }
    case 'heard': {
      const member = state.members.get(input.worker);
      if (member === undefined) return [state, []];
      return [withMember(state, { ...member, lastHeardMs: nowMs }, nowMs), []];
    }
    case 'left':
      return lose(state, [input.worker], nowMs, limits);
    case 'begin':
      return begin(state, input.round, nowMs);
    case 'partial':
      return partial(state, input.worker, input.roundId, input.range, nowMs);
    case 'failed':
      return stop(input.cause);
    case 'tick':
      return tick(state, nowMs, limits);
    default:
      return assertNever(input);
  }
}

type Running = Exclude<RunState, { phase: 'stopped' }>;

function withMember(state: Running, member: Member, nowMs: number): Running {
  return withMembers(state, new Map(state.members).set(member.worker, member), nowMs);
}

function withMembers(state: Running, members: ReadonlyMap<number, Member>, nowMs: number): Running {
  const anyReady = [...members.values()].some((member) => member.phase === 'ready');
  const withoutWorkersSinceMs = anyReady ? null : (state.withoutWorkersSinceMs ?? nowMs);
  return { ...state, members, withoutWorkersSinceMs };
}

function stop(cause: StopCause): Transition {
  return [{ phase: 'stopped', cause }, [{ type: 'stop', cause }]];
}

function begin(state: Running, spec: RoundSpec, nowMs: number): Transition {
  const workers = readyWorkers(state);
  const withoutWorkersSinceMs = workers.length === 0 ? nowMs : null;
  const working = {
    ...state,
    phase: 'working' as const,
    withoutWorkersSinceMs,
    round: beginRound(spec, nowMs),
  };
  if (workers.length === 0) return [working, []];
  let { round } = working;
  const effects: RunEffect[] = [];
  for (const [worker, range] of splitShards(spec.present, workers, spec.id)) {
    round = withStatus(round, range, { status: 'assigned', worker, sinceMs: nowMs });
    effects.push({ type: 'compute', worker, roundId: spec.id, range });
  }
  return [{ ...working, round }, effects];
}

/** Gives pending shards to workers that hold none. */
function assign(state: Running, nowMs: number): Transition {
  if (state.phase !== 'working') return [state, []];
  const busy = new Set<number>();
  for (const status of state.round.statuses) if (status.status === 'assigned') busy.add(status.worker);
  const idle = readyWorkers(state).filter((worker) => !busy.has(worker));
  let { round } = state;
  const effects: RunEffect[] = [];
  for (const { worker, range } of dealPending(round, idle)) {
    round = withStatus(round, range, { status: 'assigned', worker, sinceMs: nowMs });
    effects.push({ type: 'compute', worker, roundId: round.spec.id, range });
  }
  return [{ ...state, round }, effects];
}

/** Takes workers out, all of them before their shards go to others. */
function lose(state: Running, workers: readonly number[], nowMs: number, limits: RunLimits): Transition {
  const lost = workers.filter((worker) => state.members.has(worker));
  if (lost.length === 0) return [state, []];
  const members = new Map(state.members);
  for (const worker of lost) members.delete(worker);
  const without = withMembers(state, members, nowMs);
  if (without.phase !== 'working') return [without, []];
  const round = lost.reduce(withoutWorker, without.round);
  const deadly = round.losses.findIndex((losses) => losses >= limits.lossesPerShard);
  if (deadly >= 0) {
    return stop({
      code: 'WORKER_FAILED',
      message: `shard ${deadly} of round ${round.spec.id} was held by ${round.losses[deadly]} workers when they were lost`,
      hint: 'Something in this shard ends every worker that takes it: look at the worker logs, or raise --shards if memory ran out.',
    });
  }
  const shards = without.round.statuses.filter(
    (old, i) => old.status === 'assigned' && round.statuses[i].status === 'pending',
  ).length;
  const [next, effects] = assign({ ...without, round }, nowMs);
  return [next, shards === 0 ? effects : [{ type: 'recompute', shards }, ...effects]];
}

function partial(
  state: Running,
  worker: number,
  roundId: number,
  range: ShardRange,
  nowMs: number,
): Transition {
  const member = state.members.get(worker);
  if (member === undefined) return [state, []];
  const heard = withMember(state, { ...member, lastHeardMs: nowMs }, nowMs);
  if (heard.phase !== 'working' || heard.round.spec.id !== roundId) {
    return [heard, [{ type: 'reject', worker, code: 'stale_step' }]];
  }
  if (!holds(heard.round, worker, range)) return [heard, [{ type: 'reject', worker, code: 'not_assigned' }]];
  const round = withStatus(heard.round, range, { status: 'done', worker });
  const accept: RunEffect = { type: 'accept', worker, range };
  if (isComplete(round)) {
    const { members, lastTickMs, withoutWorkersSinceMs } = heard;
    const idle = { phase: 'idle' as const, members, lastTickMs, withoutWorkersSinceMs };
    return [idle, [accept, { type: 'complete', roundId }]];
  }
  const [next, effects] = assign({ ...heard, round }, nowMs);
  return [next, [accept, ...effects]];
}

function tick(state: Running, nowMs: number, limits: RunLimits): Transition {
  const ticked = withTick(state, nowMs, limits);
  const evictions = [...ticked.members.values()].flatMap((member) => {
    const reason = overdue(member, nowMs, limits);
    return reason === null ? [] : [{ type: 'evict' as const, worker: member.worker, reason }];
  });
  const evicted = evictions.map(({ worker }) => worker);
  const [current, others] = lose(ticked, evicted, nowMs, limits);
  const effects = [...evictions, ...others];
  if (current.phase !== 'working' || current.withoutWorkersSinceMs === null) return [current, effects];
  // Preparing has a deadline of its own.
  if ([...current.members.values()].some(({ phase }) => phase === 'preparing')) return [current, effects];
  const waitedMs = nowMs - current.withoutWorkersSinceMs;
  if (waitedMs < limits.withoutWorkersMs) return [current, effects];
  const [stopped, stopEffects] = stop({
    code: 'NO_WORKERS',
    message: `no worker has been ready for ${Math.round(waitedMs / 1000)} s`,
    hint: 'Start workers with `lockstep worker --join URL`, or look at their logs.',
  });
  return [stopped, [...effects, ...stopEffects]];
}

/**
 * Ticks come many times within the limit of silence. If they did not, the coordinator itself was held up (by a
 * callback that computes, by a laptop's sleep): what workers said meanwhile is still to be read, so that time does
 * not count against anyone.
 */
function withTick(state: Running, nowMs: number, limits: RunLimits): Running {
  const heldUpMs = nowMs - state.lastTickMs;
  if (heldUpMs < limits.silenceMs / 2) return { ...state, lastTickMs: nowMs };
  const later = (timeMs: number): number => Math.min(nowMs, timeMs + heldUpMs);
  const members = [...state.members].map(([worker, member]): [number, Member] => [
    worker,
    { ...member, sinceMs: later(member.sinceMs), lastHeardMs: later(member.lastHeardMs) },
  ]);
  const { withoutWorkersSinceMs: sinceMs } = state;
  return {
    ...state,
    members: new Map(members),
    lastTickMs: nowMs,
    withoutWorkersSinceMs: sinceMs === null ? null : later(sinceMs),
  };
}

function overdue(member: Member, nowMs: number, limits: RunLimits): string | null {
  // Its heartbeats begin with the first program.
  if (member.phase === 'joined') return null;
  const silentMs = nowMs - member.lastHeardMs;
  if (silentMs >= limits.silenceMs) return `silent for ${(silentMs / 1000).toFixed(1)} s`;
  const preparingMs = nowMs - member.sinceMs;
  if (member.phase === 'preparing' && preparingMs >= limits.prepareMs) {
    return `not ready after ${(preparingMs / 1000).toFixed(0)} s of preparing`;
  }
  return null;
}
