import type { ShardRange } from '../../shared/tree.js';
import { nameOfRound, nameOfShards, nameOfWorkers } from './describe.js';
import { withDuration } from './durations.js';
import {
  type Answer,
  agreedDigest,
  hasAnswered,
  isAudited,
  isDisputed,
  isHeldBy,
  isTaken,
  type RoundProgress,
  type RoundSpec,
  sizeOf,
  type Unit,
  unitOf,
  withUnit,
} from './round.js';
import {
  type Debt,
  isLate,
  type RunEffect,
  type Running,
  type RunState,
  readyWorkers,
  stop,
  type Transition,
  type UnitAddress,
  type Working,
} from './run-state.js';

/** What a worker's message says about a unit of a round. */
export interface Claim {
  readonly worker: number;
  readonly roundId: number;
  readonly range: ShardRange;
}

function debtOf({ debts }: Running, { worker, roundId, range }: Claim): Debt | undefined {
  return debts.find(
    (debt) =>
      debt.worker === worker &&
      debt.spec.id === roundId &&
      debt.range.lo === range.lo &&
      debt.range.hi === range.hi,
  );
}

function heldUnit(state: Running, { worker, roundId, range }: Claim): Unit | null {
  if (state.phase !== 'working' || state.round.spec.id !== roundId) return null;
  const unit = unitOf(state.round, range);
  return unit !== undefined && isHeldBy(unit, worker) ? unit : null;
}

/** Whether an answer will be compared with another, so that its digest is needed. */
export function isCompared(state: RunState, claim: Claim): boolean {
  if (state.phase === 'stopped') return false;
  if (debtOf(state, claim) !== undefined) return true;
  const unit = heldUnit(state, claim);
  if (unit === null || state.phase !== 'working') return false;
  return unit.holders.length > 1 || unit.answers.length > 0 || isAudited(state.round.spec, unit.range);
}

/** Takes an answer of a worker that is here. What follows for the rest of the round is not yet decided. */
export function takeAnswer(state: Running, claim: Claim, answer: Answer, nowMs: number): Transition {
  const debt = debtOf(state, claim);
  if (debt !== undefined) return settle(state, debt, answer, nowMs);
  const { worker } = claim;
  const unit = heldUnit(state, claim);
  if (unit === null || state.phase !== 'working') {
    const isOpen = state.phase === 'working' && state.round.spec.id === claim.roundId;
    return [state, [{ type: 'reject', worker, code: isOpen ? 'not_assigned' : 'stale_step' }]];
  }
  const { spec } = state.round;
  const answered = {
    ...unit,
    holders: unit.holders.filter((holder) => holder.worker !== worker),
    answers: [...unit.answers, answer],
  };
  const round = withUnit(state.round, answered);
  const timed = { ...withAnswerTimed(state, worker, spec, unit.range, nowMs), round } as Working;
  const [next, effects] = judge(timed, answered, answer);
  return [next, [{ type: 'credit', worker, range: unit.range }, ...effects]];
}

/** Measures an answer, and lets the worker's turn at its next unit begin. */
function withAnswerTimed(
  state: Running,
  worker: number,
  spec: RoundSpec,
  range: ShardRange,
  nowMs: number,
): Running {
  const member = state.members.get(worker);
  if (member === undefined) return state;
  const tookMs = nowMs - member.turnMs;
  return {
    ...state,
    members: new Map(state.members).set(worker, { ...member, turnMs: nowMs, lateSinceMs: null }),
    durations: withDuration(state.durations, spec, sizeOf(range), tookMs),
  };
}

/** An answer for a round that is over: it must be what was committed. */
function settle(state: Running, debt: Debt, answer: Answer, nowMs: number): Transition {
  const { worker, spec, range, accepted } = debt;
  const debts = state.debts.filter((other) => other !== debt);
  const next = { ...withAnswerTimed(state, worker, spec, range, nowMs), debts };
  const credit: RunEffect = { type: 'credit', worker, range };
  if (answer.digest === accepted.digest) return [next, [credit]];
  const workers = [accepted.worker, worker];
  const [stopped, effects] = stop({
    code: 'NOT_DETERMINISTIC',
    message: `${nameOfWorkers(workers)} disagree about ${nameOfShards(range)} of ${nameOfRound(spec)}, which is over`,
    hint: 'One of them computes wrong numbers: test both machines, and resume from a checkpoint before that step.',
    at: { spec, shard: range.lo },
  });
  return [stopped, [credit, { type: 'disagreement', unit: { spec, range }, workers }, ...effects]];
}

/** What a unit's newest answer means. */
function judge(state: Working, unit: Unit, answer: Answer): Transition {
  const { spec } = state.round;
  const { range } = unit;
  const address = { spec, range };
  const agreed = agreedDigest(unit);
  if (agreed !== null) {
    const wrong = unit.answers.filter(({ digest }) => digest !== agreed).map(({ worker }) => worker);
    const right = unit.answers.filter(({ digest }) => digest === agreed).map(({ worker }) => worker);
    const [accepted, effects] =
      unit.accepted === null ? accept(state, unit, right[0]) : ([state, []] as const);
    if (wrong.length === 0) return [accepted, effects];
    const [sound, more] = exclude(accepted, wrong, { unit: address, by: right });
    return [sound, [...effects, ...more]];
  }
  if (unit.answers.length > 1) {
    const workers = unit.answers.map(({ worker }) => worker);
    const keep: RunEffect = { type: 'keep', worker: answer.worker, range };
    const effects: RunEffect[] = [{ type: 'disagreement', unit: address, workers }];
    return [state, unit.accepted === null ? [keep, ...effects] : effects];
  }
  if (answer.finite && !isAudited(spec, range)) return accept(state, unit, answer.worker);
  return [state, [{ type: 'keep', worker: answer.worker, range }]];
}

function accept(state: Working, unit: Unit, worker: number): [Working, RunEffect[]] {
  const round = withUnit(state.round, { ...unit, accepted: worker });
  return [{ ...state, round }, [{ type: 'accept', worker, range: unit.range }]];
}

/**
 * Takes out workers that compute wrong numbers. Nothing that they sent in this round counts; if some of it is in the
 * sum already, the sum begins anew.
 */
function exclude(
  state: Working,
  workers: readonly number[],
  reason: { readonly unit: UnitAddress; readonly by: readonly number[] },
): [Working, RunEffect[]] {
  const members = new Map(state.members);
  for (const worker of workers) members.delete(worker);
  const debts = state.debts.filter(({ worker }) => !workers.includes(worker));
  const isSound = ({ worker }: { readonly worker: number }): boolean => !workers.includes(worker);
  const mustRestart = state.round.units.some(
    ({ accepted }) => accepted !== null && workers.includes(accepted),
  );
  const cleared = state.round.units.map((unit): Unit => {
    const holders = unit.holders.filter(isSound);
    if (mustRestart && unit.accepted !== null) return { ...unit, holders, answers: [], accepted: null };
    return { ...unit, holders, answers: unit.answers.filter(isSound) };
  });
  const freed = cleared.filter((unit) => !isTaken(unit)).reduce((sum, { range }) => sum + sizeOf(range), 0);
  const round: RoundProgress = { ...state.round, units: cleared.filter(isTaken) };
  const effects: RunEffect[] = workers
    .filter((worker) => state.members.has(worker))
    .map((worker) => ({ type: 'exclude', worker, ...reason }));
  if (mustRestart) effects.push({ type: 'restart' });
  if (freed > 0) effects.push({ type: 'recompute', shards: freed });
  return [{ ...state, members, debts, round }, effects];
}

/** Ends the wait for confirmations that nobody can give. */
export function giveUpConfirming(state: Working): Transition {
  let current = state;
  const effects: RunEffect[] = [];
  const ready = readyWorkers(state);
  const isAnyPreparing = [...state.members.values()].some(({ phase }) => phase === 'preparing');
  for (const unit of state.round.units) {
    const { answers, range, accepted } = unit;
    const { spec } = state.round;
    const others = ready.filter((worker) => !hasAnswered(unit, worker));
    const [answer] = answers;
    if (isDisputed(unit)) {
      if (others.length > 0 || isAnyPreparing) continue;
      const [stopped, more] = stop({
        code: 'NOT_DETERMINISTIC',
        message: `${nameOfWorkers(answers.map(({ worker }) => worker))} disagree about ${nameOfShards(range)} of ${nameOfRound(spec)}, and no other worker can decide`,
        hint: 'One of them computes wrong numbers. Resume with a worker more, or without the one that fails a test of its machine.',
        at: { spec, shard: range.lo },
      });
      return [stopped, [...effects, ...more]];
    }
    if (accepted !== null || answers.length === 0 || others.some((worker) => !isLate(state, worker)))
      continue;
    const [next, more] = accept(current, unit, answer.worker);
    current = next;
    const { worker, finite } = answer;
    effects.push(...more, { type: 'unconfirmed', worker, unit: { spec, range }, finite });
  }
  return [current, effects];
}
