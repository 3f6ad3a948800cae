import { assertNever } from '../../shared/errors.js';
import { giveUpConfirming, takeAnswer } from './answer.js';
import { deal, give, withTurns } from './deal.js';
import { nameOfRound } from './describe.js';
import { causeOf, dismissFailed, takeFailure } from './failure.js';
import { beginRound, isComplete, type RoundSpec, sizeOf, withoutWorker } from './round.js';
import {
  candidates,
  type Debt,
  type Member,
  type RunEffect,
  type RunInput,
  type RunLimits,
  type Running,
  type RunState,
  stop,
  type Transition,
  type Working,
  withMembers,
} from './run-state.js';
import { splitRound } from './split.js';
import { overdue, withLate, withTick } from './watch.js';

export {
  candidates,
  defaultLimits,
  initialState,
  type Member,
  type RunEffect,
  type RunInput,
  type RunLimits,
  type RunState,
  readyWorkers,
  type StopCause,
  type Transition,
} from './run-state.js';

/** The whole decision: total, pure, the same for the same arguments. */
export function transition(state: RunState, input: RunInput, nowMs: number, limits: RunLimits): Transition {
  if (state.phase === 'stopped') return [state, []];
  switch (input.type) {
    case 'joined':
    case 'preparing':
      return [withNewcomer(state, input.worker, input.type, nowMs), []];
    case 'ready': {
      const member = state.members.get(input.worker);
      if (member?.phase !== 'preparing') return [state, []];
      const { canaryMs } = input;
      const ready = { ...member, phase: 'ready' as const, sinceMs: nowMs, lastHeardMs: nowMs, canaryMs };
      return proceed(withMember(state, ready, nowMs), nowMs);
    }
    case 'heard':
      return [withHeard(state, input.worker, nowMs), []];
    case 'left':
      return lose(state, [input.worker], nowMs, limits, input.saidGoodbye !== true);
    case 'begin':
      return begin(state, input.round, nowMs);
    case 'partial': {
      const { worker, digest, finite } = input;
      if (!state.members.has(worker)) return [state, []];
      const heard = withHeard(state, worker, nowMs);
      const [next, effects] = takeAnswer(heard, input, { worker, digest, finite }, nowMs);
      return followedBy([next, effects], (running) => proceed(running, nowMs));
    }
    case 'failed': {
      if (!state.members.has(input.worker)) return [state, []];
      const heard = withHeard(state, input.worker, nowMs);
      return followedBy(takeFailure(heard, input, nowMs), (running) => proceed(running, nowMs));
    }
    case 'stop':
      return stop(input.cause);
    case 'tick':
      return tick(state, nowMs, limits);
    default:
      return assertNever(input);
  }
}

/** Goes on from a transition, unless that stopped the run. */
function followedBy([state, effects]: Transition, next: (state: Running) => Transition): Transition {
  if (state.phase === 'stopped') return [state, effects];
  const [following, more] = next(state);
  return [following, [...effects, ...more]];
}

/** Everything that a worker had to do before it builds another program is void. */
function withNewcomer(state: Running, worker: number, phase: 'joined' | 'preparing', nowMs: number): Running {
  const member: Member = {
    worker,
    phase,
    sinceMs: nowMs,
    lastHeardMs: nowMs,
    canaryMs: null,
    turnMs: nowMs,
    lateSinceMs: null,
  };
  const debts = state.debts.filter((debt) => debt.worker !== worker);
  return withMember({ ...state, debts }, member, nowMs);
}

function withHeard(state: Running, worker: number, nowMs: number): Running {
  const member = state.members.get(worker);
  return member === undefined ? state : withMember(state, { ...member, lastHeardMs: nowMs }, nowMs);
}

function withMember(state: Running, member: Member, nowMs: number): Running {
  return withMembers(state, new Map(state.members).set(member.worker, member), nowMs);
}

function begin(state: Running, spec: RoundSpec, nowMs: number): Transition {
  const workers = candidates(state);
  const withoutWorkersSinceMs = workers.length === 0 ? nowMs : null;
  const working: Working = {
    ...state,
    phase: 'working',
    withoutWorkersSinceMs,
    round: beginRound(spec, nowMs),
  };
  if (workers.length === 0) return [working, []];
  const [round, effects] = give(working.round, splitRound(spec, workers), nowMs);
  return [{ ...withTurns(working, effects, nowMs), round }, effects];
}

/** What follows from where the round stands: it is complete, or workers that have nothing to do are given something. */
function proceed(state: Running, nowMs: number): Transition {
  if (state.phase !== 'working') return [state, []];
  return followedBy(giveUpConfirming(state), (running) => {
    if (running.phase !== 'working') return [running, []];
    return followedBy(dismissFailed(running, nowMs), (sound) => carryOn(sound, nowMs));
  });
}

function carryOn(running: Running, nowMs: number): Transition {
  if (running.phase !== 'working') return [running, []];
  return isComplete(running.round) ? complete(running) : deal(running, nowMs);
}

function complete({ round, ...membership }: Working): Transition {
  const { spec, units } = round;
  const debts = units.flatMap(({ range, holders, answers, accepted }): Debt[] => {
    const answer = answers.find(({ worker }) => worker === accepted);
    return answer === undefined
      ? []
      : holders.map(({ worker }) => ({ worker, spec, range, accepted: answer }));
  });
  const idle = { ...membership, phase: 'idle' as const, debts: [...membership.debts, ...debts] };
  return [idle, [{ type: 'complete', roundId: spec.id }]];
}

/** Takes workers out, all of them before their shards go to others. @param died not if they said goodbye */
function lose(
  state: Running,
  workers: readonly number[],
  nowMs: number,
  limits: RunLimits,
  died = true,
): Transition {
  const lost = workers.filter((worker) => state.members.has(worker));
  if (lost.length === 0) return [state, []];
  const members = new Map(state.members);
  for (const worker of lost) members.delete(worker);
  const debts = state.debts.filter(({ worker }) => !lost.includes(worker));
  const without = withMembers({ ...state, debts }, members, nowMs);
  if (without.phase !== 'working') return [without, []];
  const round = lost.reduce((left, worker) => withoutWorker(left, worker, died), without.round);
  const deadly = round.losses.findIndex((losses) => losses >= limits.lossesPerShard);
  if (deadly >= 0) {
    const { spec } = round;
    return stop({
      code: 'WORKER_FAILED',
      message: `shard ${deadly} of ${nameOfRound(spec)} was held by ${round.losses[deadly]} workers when they were lost`,
      hint: 'Something in this shard ends every worker that takes it: look at the worker logs, or raise --shards if memory ran out.',
      at: { spec, shard: deadly },
    });
  }
  const before = without.round.units.reduce((sum, { range }) => sum + sizeOf(range), 0);
  const shards = before - round.units.reduce((sum, { range }) => sum + sizeOf(range), 0);
  const recompute: RunEffect[] = shards === 0 ? [] : [{ type: 'recompute', shards }];
  return followedBy([{ ...without, round }, recompute], (running) => proceed(running, nowMs));
}

function tick(state: Running, nowMs: number, limits: RunLimits): Transition {
  const ticked = withLate(withTick(state, nowMs, limits), nowMs, limits);
  const evictions = [...ticked.members.values()].flatMap((member) => {
    const reason = overdue(ticked, member, nowMs, limits);
    return reason === null ? [] : [{ type: 'evict' as const, worker: member.worker, reason }];
  });
  const evicted = evictions.map(({ worker }) => worker);
  const [current, others] = followedBy(lose(ticked, evicted, nowMs, limits), (running) =>
    proceed(running, nowMs),
  );
  const effects = [...evictions, ...others];
  if (current.phase !== 'working' || current.withoutWorkersSinceMs === null) return [current, effects];
  // Preparing has a deadline of its own.
  if ([...current.members.values()].some(({ phase }) => phase === 'preparing')) return [current, effects];
  const waitedMs = nowMs - current.withoutWorkersSinceMs;
  if (waitedMs < limits.withoutWorkersMs) return [current, effects];
  const { spec, failures } = current.round;
  if (failures.length > 0) return followedBy([current, effects], () => stop(causeOf(spec, failures)));
  const [stopped, stopEffects] = stop({
    code: 'NO_WORKERS',
    message: `no worker has been ready for ${Math.round(waitedMs / 1000)} s`,
    hint: 'Start workers with `lockstep worker --join URL`, or look at their logs.',
  });
  return [stopped, [...effects, ...stopEffects]];
}
