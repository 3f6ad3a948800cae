import { nameOfRound, nameOfWorkers } from './describe.js';
import {
  contains,
  type Failure,
  isHeldBy,
  type RoundProgress,
  type RoundSpec,
  sizeOf,
  withoutWorker,
} from './round.js';
import {
  type FailureReport,
  type Member,
  type RunEffect,
  type Running,
  type StopCause,
  stop,
  type Transition,
  type Working,
  withMembers,
} from './run-state.js';

/**
 * Takes a worker's word that it could not carry out an order. What it still computes of the round goes to others; if
 * another computes the shard, the worker is to blame, and if another fails at it as well, the job is.
 */
export function takeFailure(state: Running, report: FailureReport, nowMs: number): Transition {
  const { worker, roundId, range } = report;
  const isOrdered = (part: { readonly lo: number; readonly hi: number }): boolean =>
    range.lo <= part.lo && part.hi <= range.hi;
  const owed = state.debts.find(
    (debt) => debt.worker === worker && debt.spec.id === roundId && isOrdered(debt.range),
  );
  if (owed !== undefined) {
    const failure = failureOf(report, report.shard ?? owed.range.lo);
    return dismiss(state, { spec: owed.spec, failure, by: owed.accepted.worker }, nowMs);
  }
  const isPresent = state.phase === 'working' && state.round.spec.id === roundId;
  if (!isPresent) return [state, [{ type: 'reject', worker, code: 'stale_step' }]];
  const held = state.round.units.filter((unit) => isHeldBy(unit, worker) && isOrdered(unit.range));
  if (held.length === 0) return [state, [{ type: 'reject', worker, code: 'not_assigned' }]];
  const { shard } = report;
  // It computes them in order.
  const at = held.find((unit) => shard !== null && contains(unit.range, shard)) ?? held[0];
  const failure = failureOf(report, shard !== null && contains(at.range, shard) ? shard : at.range.lo);
  const { spec } = state.round;
  if (at.accepted !== null) return dismiss(state, { spec, failure, by: at.accepted }, nowMs);
  return doubt(state, failure, report.othersMayCome, nowMs);
}

function failureOf({ worker, code, message, hint }: FailureReport, shard: number): Failure {
  return { worker, shard, code, message, hint };
}

/** Nobody knows yet whether the worker or the job is to blame. */
function doubt(state: Working, failure: Failure, othersMayCome: boolean, nowMs: number): Transition {
  const { worker, shard } = failure;
  const { spec } = state.round;
  const failures = [...state.round.failures, failure];
  const same = failures.filter((other) => other.shard === shard);
  if (same.length > 1) return stop(causeOf(spec, same));
  const members = withFailed(state.members, worker, nowMs);
  const mayTry = [...members.values()].some(({ phase }) => phase !== 'failed');
  if (!mayTry && (failures.length > 1 || !othersMayCome)) return stop(causeOf(spec, failures));
  const [freed, recompute] = withdrawn(state.round, worker);
  const next = withMembers({ ...state, round: { ...freed, failures } }, members, nowMs);
  return [next, [{ type: 'doubt', spec, failure }, ...recompute]];
}

function withFailed(
  members: ReadonlyMap<number, Member>,
  worker: number,
  nowMs: number,
): ReadonlyMap<number, Member> {
  const member = members.get(worker);
  if (member === undefined) return members;
  return new Map(members).set(worker, { ...member, phase: 'failed', sinceMs: nowMs });
}

/** Sends away those whose shard another worker has computed. */
export function dismissFailed(state: Working, nowMs: number): Transition {
  let current: Running = state;
  const effects: RunEffect[] = [];
  const { spec } = state.round;
  const open: Failure[] = [];
  for (const failure of state.round.failures) {
    const unit = state.round.units.find(({ range }) => contains(range, failure.shard));
    if (unit === undefined || unit.accepted === null) {
      open.push(failure);
      continue;
    }
    const [next, more] = dismiss(current, { spec, failure, by: unit.accepted }, nowMs);
    if (next.phase === 'stopped') return [next, [...effects, ...more]];
    current = next;
    effects.push(...more);
  }
  if (open.length === state.round.failures.length || current.phase !== 'working') return [current, effects];
  return [{ ...current, round: { ...current.round, failures: open } }, effects];
}

/** A worker cannot compute what another has computed. It may have left before that was known. */
function dismiss(
  state: Running,
  blame: { readonly spec: RoundSpec; readonly failure: Failure; readonly by: number },
  nowMs: number,
): Transition {
  const { worker } = blame.failure;
  if (!state.members.has(worker)) return [state, []];
  const members = new Map(state.members);
  members.delete(worker);
  const debts = state.debts.filter((debt) => debt.worker !== worker);
  const without = withMembers({ ...state, debts }, members, nowMs);
  const effect: RunEffect = { type: 'dismiss', ...blame };
  if (without.phase !== 'working') return [without, [effect]];
  const [round, recompute] = withdrawn(without.round, worker);
  return [{ ...without, round }, [effect, ...recompute]];
}

/** Takes back what a worker holds. */
function withdrawn(round: RoundProgress, worker: number): [RoundProgress, RunEffect[]] {
  const left = withoutWorker(round, worker, false);
  const shards = takenShards(round) - takenShards(left);
  return [left, shards === 0 ? [] : [{ type: 'recompute', shards }]];
}

function takenShards({ units }: RoundProgress): number {
  return units.reduce((sum, { range }) => sum + sizeOf(range), 0);
}

/** Why the run stops when nobody can compute what these could not. */
export function causeOf(spec: RoundSpec, failures: readonly Failure[]): StopCause {
  const [{ code, hint, worker, message, shard }] = failures;
  if (failures.length === 1) return { code, message: `worker ${worker}: ${message}`, hint };
  const who = nameOfWorkers(failures.map((failure) => failure.worker));
  const shards = [...new Set(failures.map((failure) => failure.shard))].sort((a, b) => a - b);
  const where = `${shards.length === 1 ? 'shard' : 'shards'} ${shards.join(', ')} of ${nameOfRound(spec)}`;
  const isSame = failures.every((failure) => failure.message === message);
  const texts = failures.map((failure) => `worker ${failure.worker}: ${failure.message}`);
  const what = isSame ? message : texts.join('; ');
  return { code, message: `${who} failed at ${where}: ${what}`, hint, at: { spec, shard } };
}
