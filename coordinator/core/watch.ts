import type { ShardRange } from '../../shared/tree.js';
import { nameOfRound, nameOfShards, seconds } from './describe.js';
import { deadlineMs } from './durations.js';
import { type RoundSpec, sizeOf } from './round.js';
import type { Member, RunLimits, Running } from './run-state.js';

/** Answers that take so many times their deadline, and longer than a limit, will not come. */
const deadlines = 20;

/** The unit that a worker computes now, as far as one can tell: it takes them in the order they were given to it. */
export interface Turn {
  readonly spec: RoundSpec;
  readonly range: ShardRange;
  /** When it could begin. */
  readonly sinceMs: number;
  /** When others compute it too. */
  readonly deadlineMs: number;
  /** When the worker is lost although it is heard. */
  readonly lostMs: number;
}

/** Null for a worker that has nothing to compute. */
export function turnOf(state: Running, { worker, turnMs, canaryMs }: Member, limits: RunLimits): Turn | null {
  const first = firstUnitOf(state, worker);
  if (first === null) return null;
  const { spec, range } = first;
  const shards = sizeOf(range);
  const patienceMs = deadlineMs(state.durations, { shape: spec, shards, canaryMs }, limits);
  return {
    spec,
    range,
    sinceMs: turnMs,
    deadlineMs: turnMs + patienceMs,
    lostMs: turnMs + Math.max(limits.answerMs, deadlines * patienceMs),
  };
}

function firstUnitOf(state: Running, worker: number): { spec: RoundSpec; range: ShardRange } | null {
  const debt = state.debts.find((owed) => owed.worker === worker);
  if (debt !== undefined) return debt;
  if (state.phase !== 'working') return null;
  const { spec, units } = state.round;
  let first: { range: ShardRange; sinceMs: number } | null = null;
  for (const { range, holders } of units) {
    const holder = holders.find((one) => one.worker === worker);
    if (holder !== undefined && (first === null || holder.sinceMs < first.sinceMs)) {
      first = { range, sinceMs: holder.sinceMs };
    }
  }
  return first === null ? null : { spec, range: first.range };
}

/** Marks who is past the deadline of its present unit. */
export function withLate(state: Running, nowMs: number, limits: RunLimits): Running {
  const members = [...state.members].map(([number, member]): [number, Member] => {
    const turn = member.lateSinceMs === null ? turnOf(state, member, limits) : null;
    const isLate = turn !== null && nowMs >= turn.deadlineMs;
    return [number, isLate ? { ...member, lateSinceMs: nowMs } : member];
  });
  return { ...state, members: new Map(members) };
}

/**
 * Ticks come many times within any limit. If they did not, the coordinator itself was held up (by a callback that
 * computes, by a laptop's sleep): what workers said meanwhile is still to be read, so that time does not count
 * against anyone.
 */
export function withTick(state: Running, nowMs: number, limits: RunLimits): Running {
  const heldUpMs = nowMs - state.lastTickMs;
  if (heldUpMs <= limits.heldUpMs) return { ...state, lastTickMs: nowMs };
  const later = (timeMs: number): number => Math.min(nowMs, timeMs + heldUpMs);
  const members = [...state.members].map(([worker, member]): [number, Member] => [
    worker,
    {
      ...member,
      sinceMs: later(member.sinceMs),
      lastHeardMs: later(member.lastHeardMs),
      turnMs: later(member.turnMs),
    },
  ]);
  const { withoutWorkersSinceMs: sinceMs } = state;
  return {
    ...state,
    members: new Map(members),
    lastTickMs: nowMs,
    withoutWorkersSinceMs: sinceMs === null ? null : later(sinceMs),
  };
}

/** Why a worker has to go, or null. */
export function overdue(state: Running, member: Member, nowMs: number, limits: RunLimits): string | null {
  // Its heartbeats begin with the first program.
  if (member.phase === 'joined') return null;
  const silentMs = nowMs - member.lastHeardMs;
  if (silentMs >= limits.silenceMs) return `silent for ${seconds(silentMs)}`;
  const preparingMs = nowMs - member.sinceMs;
  if (member.phase === 'preparing') {
    return preparingMs < limits.prepareMs
      ? null
      : `not ready after ${(preparingMs / 1000).toFixed(0)} s of preparing`;
  }
  const turn = turnOf(state, member, limits);
  if (turn === null || nowMs < turn.lostMs) return null;
  const { spec, range, sinceMs } = turn;
  return `no answer for ${nameOfShards(range)} of ${nameOfRound(spec)} after ${seconds(nowMs - sinceMs)}`;
}
