import {
  hasAnswered,
  isAudited,
  isDisputed,
  isHeldBy,
  type RoundProgress,
  sizeOf,
  type Unit,
  withHolder,
} from './round.js';
import { candidates, isLate, type RunEffect, type Transition, type Working } from './run-state.js';
import { dealPending, leastLoaded, type Order } from './split.js';

/** Orders as what they do to the round, and as effects. */
export function give(
  round: RoundProgress,
  orders: readonly Order[],
  nowMs: number,
): [RoundProgress, RunEffect[]] {
  const roundId = round.spec.id;
  const given = orders.reduce(
    (progress, { worker, range }) => withHolder(progress, worker, range, nowMs),
    round,
  );
  return [given, orders.map((order) => ({ type: 'compute', roundId, ...order }))];
}

/** How many more workers must compute a unit now. Those that are past their deadline do not count. */
function missing(state: Working, unit: Unit): number {
  const live = unit.holders.filter(({ worker }) => !isLate(state, worker)).length;
  return Math.max(0, wanted(state.round, unit) - live);
}

/** How many answers a unit still wants. */
function wanted({ spec }: RoundProgress, unit: Unit): number {
  if (unit.answers.length > 0) return unit.accepted === null || isDisputed(unit) ? 1 : 0;
  return isAudited(spec, unit.range) ? 2 : 1;
}

function reasonOf(state: Working, unit: Unit): Order['why'] {
  if (unit.answers.length > 0) return 'confirm';
  return unit.holders.some(({ worker }) => isLate(state, worker)) ? 'duplicate' : 'audit';
}

/**
 * Gives workers that have nothing to do what is most urgent: a second opinion about a doubtful answer, then pending
 * shards, then second copies of audited shards and of those that take too long.
 */
export function deal(state: Working, nowMs: number): Transition {
  const idle = candidates(state).filter(
    (worker) => !state.round.units.some((unit) => isHeldBy(unit, worker)),
  );
  if (idle.length === 0) return [state, []];
  const load = new Map(idle.map((worker) => [worker, 0]));
  const effects: RunEffect[] = [];
  let { round } = state;
  const order = (orders: readonly Order[]): void => {
    const [given, more] = give(round, orders, nowMs);
    round = given;
    effects.push(...more);
    for (const { worker, range } of orders) load.set(worker, (load.get(worker) ?? 0) + sizeOf(range));
  };
  /** Gives units that lack workers to those that have neither computed them nor do so. */
  const share = (concerns: (unit: Unit) => boolean, taken: readonly number[] = []): void => {
    for (let at = 0; at < round.units.length; ) {
      const unit = round.units[at];
      const why = reasonOf(state, unit);
      const worker =
        concerns(unit) && missing(state, unit) > 0
          ? leastLoaded(
              load,
              (one) =>
                !isHeldBy(unit, one) &&
                !hasAnswered(unit, one) &&
                !(why === 'duplicate' && taken.includes(one)),
            )
          : null;
      if (worker === null) at += 1;
      else order([{ worker, range: unit.range, why }]);
    }
  };
  share(({ answers }) => answers.length > 0);
  const dealt = dealPending(
    round,
    idle.filter((worker) => load.get(worker) === 0),
  );
  order(dealt);
  share(
    ({ answers }) => answers.length === 0,
    dealt.map(({ worker }) => worker),
  );
  return [{ ...withTurns(state, effects, nowMs), round }, effects];
}

/** Whoever had nothing begins with what it is given now. */
export function withTurns(state: Working, effects: readonly RunEffect[], nowMs: number): Working {
  const members = new Map(state.members);
  for (const effect of effects) {
    if (effect.type !== 'compute') continue;
    const { worker } = effect;
    const member = members.get(worker);
    const isBusy =
      state.round.units.some((unit) => isHeldBy(unit, worker)) ||
      state.debts.some((debt) => debt.worker === worker);
    if (member !== undefined && !isBusy) members.set(worker, { ...member, turnMs: nowMs });
  }
  return { ...state, members };
}
