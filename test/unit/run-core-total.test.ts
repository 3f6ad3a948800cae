import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { isCompared } from '../../coordinator/core/answer.js';
import { contains, isDone, pendingRanges, sizeOf } from '../../coordinator/core/round.js';
import {
  candidates,
  defaultLimits,
  initialState,
  type RunEffect,
  type RunInput,
  type RunLimits,
  type RunState,
  readyWorkers,
  transition,
} from '../../coordinator/core/run.js';
import { waitingFor } from '../../coordinator/core/waiting-for.js';

const limits: RunLimits = {
  ...defaultLimits,
  silenceMs: 4_000,
  prepareMs: 9_000,
  withoutWorkersMs: 7_000,
  lossesPerShard: 4,
  warmUpMs: 500,
  unknownShardMs: 300,
  deadlineFloorMs: 200,
};

const worker = fc.nat(4);
const range = fc
  .tuple(fc.integer({ min: -1, max: 9 }), fc.integer({ min: -1, max: 9 }))
  .map(([lo, hi]) => ({ lo, hi }));

const input: fc.Arbitrary<RunInput> = fc.oneof(
  fc.record({ type: fc.constantFrom('joined' as const, 'preparing' as const), worker }),
  {
    weight: 3,
    arbitrary: fc.record({ type: fc.constant('ready' as const), worker, canaryMs: fc.constant(null) }),
  },
  fc.record({ type: fc.constant('heard' as const), worker }),
  fc.record({ type: fc.constant('left' as const), worker, reason: fc.constant('gone') }),
  {
    weight: 4,
    arbitrary: fc.record({
      type: fc.constant('partial' as const),
      worker,
      roundId: fc.nat(6),
      range,
      digest: fc.constantFrom(null, 'right', 'right', 'wrong'),
      finite: fc.boolean(),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      type: fc.constant('failed' as const),
      worker,
      roundId: fc.nat(6),
      range,
      shard: fc.option(fc.nat(9)),
      code: fc.constant('WORKER_FAILED' as const),
      message: fc.constantFrom('a', 'b'),
      hint: fc.constant('h'),
      othersMayCome: fc.boolean(),
    }),
  },
  { weight: 2, arbitrary: fc.constant({ type: 'tick' as const }) },
);

/** What may happen next, and how much later; `begin` only when no round is open, as its caller promises. */
type Happening = {
  readonly afterMs: number;
  readonly input: RunInput | 'begin' | 'right' | 'wrong' | 'NaN' | 'failed';
};
const happening: fc.Arbitrary<Happening> = fc.record({
  afterMs: fc.constantFrom(0, 0, 0, 100, 900, 1_500, 20_000),
  input: fc.oneof(
    { weight: 4, arbitrary: input },
    { weight: 1, arbitrary: fc.constant('begin' as const) },
    // A worker that holds a unit answers, as it should, mostly with what is right.
    {
      weight: 6,
      arbitrary: fc.constantFrom(
        'right' as const,
        'right' as const,
        'right' as const,
        'NaN' as const,
        'wrong' as const,
        'failed' as const,
      ),
    },
  ),
});

/** Replays happenings and calls `after` with every transition. */
function play(
  happenings: readonly Happening[],
  after: (before: RunState, input: RunInput, state: RunState, effects: readonly RunEffect[]) => void,
): void {
  let state = initialState(0);
  let nowMs = 0;
  let roundId = 0;
  const step = (next: RunInput): void => {
    const before = state;
    const [following, effects] = transition(state, next, nowMs, limits);
    // Pure: the same arguments give the same again, and the old state is as it was.
    expect(transition(before, next, nowMs, limits)).toEqual([following, effects]);
    state = following;
    after(before, next, following, effects);
    const waiting = waitingFor(state, nowMs, limits);
    if (state.phase === 'working') expect(waiting).toMatch(/^waiting for /);
    else expect(waiting).toBeNull();
  };
  for (const { afterMs, input: next } of happenings) {
    nowMs += afterMs;
    if (next === 'begin') {
      if (state.phase !== 'idle') continue;
      roundId += 1;
      const shards = 1 + (roundId % 8);
      const present = 1 + (nowMs % shards);
      const audited = roundId % 3 === 0 ? [0] : [];
      const spec = { id: roundId, kind: 'train' as const, step: roundId, shards, present, rowsPerShard: 8 };
      step({ type: 'begin', round: { ...spec, audited } });
    } else if (typeof next === 'string') {
      if (state.phase !== 'working') continue;
      const unit = state.round.units.find(({ holders }) => holders.length > 0);
      if (unit === undefined) continue;
      const claim = { worker: unit.holders[0].worker, roundId, range: unit.range };
      if (next === 'failed') {
        const why = { code: 'WORKER_FAILED' as const, message: 'no', hint: 'h' };
        step({ type: 'failed', ...claim, ...why, shard: unit.range.lo, othersMayCome: nowMs % 2 === 0 });
        continue;
      }
      const digest = next !== 'right' || isCompared(state, claim) ? next : null;
      step({ type: 'partial', ...claim, digest, finite: next !== 'NaN' });
    } else step(next);
  }
}

describe('whatever happens to a run', () => {
  it('it decides without throwing, accepts every shard of a round exactly once, and can say what it waits for', () => {
    fc.assert(
      fc.property(fc.array(happening, { maxLength: 120 }), (happenings) => {
        let accepted: number[] = [];
        play(happenings, (before, { type }, state, effects) => {
          if (type === 'begin') accepted = [];
          for (const effect of effects) {
            if (effect.type === 'restart') accepted = [];
            if (effect.type === 'accept') {
              for (let shard = effect.range.lo; shard < effect.range.hi; shard++) {
                expect(accepted).not.toContain(shard);
                accepted.push(shard);
              }
            }
            if (effect.type === 'complete') {
              expect(before.phase === 'working' && before.round.spec.id).toBe(effect.roundId);
              expect(before.phase === 'working' && before.round.spec.present).toBe(accepted.length);
              expect(state.phase).toBe('idle');
            }
          }
          if (state.phase !== 'working') return;
          const inSum = state.round.units.filter((unit) => unit.accepted !== null);
          const shards = inSum.reduce((sum, { range }) => sum + sizeOf(range), 0);
          expect(accepted.length).toBe(shards);
        });
      }),
      { numRuns: 300 },
    );
  });

  it('it orders only from ready members, at most once per worker and unit, and nothing waits while one is idle', () => {
    fc.assert(
      fc.property(fc.array(happening, { maxLength: 120 }), (happenings) => {
        play(happenings, (_before, _input, state, effects) => {
          for (const effect of effects) {
            if (effect.type !== 'compute' || state.phase !== 'working') continue;
            expect(readyWorkers(state)).toContain(effect.worker);
            expect(state.round.spec.id).toBe(effect.roundId);
            for (let shard = effect.range.lo; shard < effect.range.hi; shard++) {
              const unit = state.round.units.find(({ range }) => range.lo <= shard && shard < range.hi);
              expect(unit?.holders.filter(({ worker }) => worker === effect.worker)).toHaveLength(1);
            }
          }
          if (state.phase !== 'working') return;
          const { units } = state.round;
          const busy = new Set(units.flatMap(({ holders }) => holders.map(({ worker }) => worker)));
          const idle = candidates(state).filter((member) => !busy.has(member));
          // No shard waits while a worker could take it.
          if (pendingRanges(state.round).length > 0) expect(idle).toEqual([]);
          for (const unit of units) {
            const live = unit.holders.filter(({ worker }) => state.members.get(worker)?.lateSinceMs === null);
            const mayHelp = idle.filter((one) => !unit.answers.some(({ worker }) => worker === one));
            if (!isDone(unit) && live.length === 0) expect(mayHelp).toEqual([]);
            // A duplicate, or the second copy of an audited shard, is the only company that a live holder has.
            expect(live.length).toBeLessThanOrEqual(2);
          }
          for (const holder of busy) expect(state.members.get(holder)?.phase).not.toBe('failed');
          // Who has failed is neither believed nor blamed before another has tried.
          for (const { worker: failed, shard } of state.round.failures) {
            expect(state.members.get(failed)?.phase ?? 'failed').not.toBe('ready');
            expect(units.find((unit) => contains(unit.range, shard))?.accepted ?? null).toBeNull();
          }
          for (const holder of busy) expect(state.members.has(holder)).toBe(true);
          for (const { worker } of state.debts) expect(state.members.has(worker)).toBe(true);
        });
      }),
      { numRuns: 300 },
    );
  });
});
