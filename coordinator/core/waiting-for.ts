import { nameOfRound, nameOfShards, nameOfWorkers, seconds } from './describe.js';
import { isDisputed, isDone, isTaken, pendingRanges, type Unit } from './round.js';
import {
  candidates,
  isLate,
  type RunLimits,
  type Running,
  type RunState,
  type Working,
} from './run-state.js';
import { turnOf } from './watch.js';

/** What the run waits for, and what happens next, for people: null when it waits for nothing. */
export function waitingFor(state: RunState, nowMs: number, limits: RunLimits): string | null {
  if (state.phase !== 'working') return null;
  if (state.withoutWorkersSinceMs !== null)
    return waitingForReady(state, state.withoutWorkersSinceMs, nowMs, limits);
  const unit = state.round.units.find((one) => isTaken(one) && !isDone(one));
  if (unit !== undefined) return waitingForUnit(state, unit, nowMs, limits);
  const [range] = pendingRanges(state.round);
  const what = range === undefined ? '' : `${nameOfShards(range)} of `;
  return `waiting for a free worker: ${what}${nameOfRound(state.round.spec)}`;
}

function waitingForReady(state: Running, sinceMs: number, nowMs: number, limits: RunLimits): string {
  const preparing = [...state.members.values()].filter(({ phase }) => phase === 'preparing').length;
  const waited = seconds(nowMs - sinceMs);
  if (preparing > 0) return `waiting for a worker to be ready (${preparing} preparing, ${waited})`;
  const left = seconds(Math.max(0, sinceMs + limits.withoutWorkersMs - nowMs));
  const [failure] = state.phase === 'working' ? state.round.failures : [];
  if (failure !== undefined) {
    const { shard, worker } = failure;
    return `waiting for another worker to try shard ${shard}, at which worker ${worker} failed (${waited}); the run stops in ${left}`;
  }
  return `waiting for a worker to join (${waited}); the run stops in ${left}`;
}

function waitingForUnit(state: Working, unit: Unit, nowMs: number, limits: RunLimits): string {
  const { holders, answers, range } = unit;
  const what = `${nameOfShards(range)} of ${nameOfRound(state.round.spec)}`;
  if (holders.length === 0) {
    const doubt = isDisputed(unit) ? 'to decide who is right about' : 'to confirm';
    return `waiting for a free worker ${doubt} ${what}`;
  }
  const who = nameOfWorkers(holders.map(({ worker }) => worker));
  const sinceMs = Math.min(...holders.map((holder) => holder.sinceMs));
  const aim = answers.length > 0 ? ' again, to compare,' : '';
  return `waiting for ${who}: ${what}${aim} for ${seconds(nowMs - sinceMs)}; ${nextFor(state, unit, nowMs, limits)}`;
}

/** What happens next to a unit that is being computed, and when. */
function nextFor(state: Working, unit: Unit, nowMs: number, limits: RunLimits): string {
  const turns = unit.holders.flatMap(({ worker }) => {
    const member = state.members.get(worker);
    const turn = member === undefined ? null : turnOf(state, member, limits);
    return turn === null ? [] : [{ worker, turn }];
  });
  const inMs = (timeMs: number): string => seconds(Math.max(0, timeMs - nowMs));
  const hasOthers = candidates(state).some(
    (one) => !unit.holders.some(({ worker }) => worker === one) && !isLate(state, one),
  );
  const inTime = turns.filter(({ worker }) => !isLate(state, worker));
  if (hasOthers) {
    if (inTime.length === 0) return 'the next worker that is free computes it as well';
    const deadlineMs = Math.max(...inTime.map(({ turn }) => turn.deadlineMs));
    return `another worker computes it as well in ${inMs(deadlineMs)}`;
  }
  const lost = turns.map(({ worker, turn }) => {
    const silentMs = (state.members.get(worker)?.lastHeardMs ?? nowMs) + limits.silenceMs;
    return { worker, timeMs: Math.min(silentMs, turn.lostMs), isSilent: silentMs < turn.lostMs };
  });
  const [first] = lost.sort((a, b) => a.timeMs - b.timeMs);
  if (first === undefined) return 'no other worker can compute it';
  const how = first.isSilent ? 'if it is not heard from' : 'if it does not answer';
  return `no other worker can compute it; worker ${first.worker} is lost in ${inMs(first.timeMs)} ${how}`;
}
