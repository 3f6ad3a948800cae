import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  initialState,
  type RunEffect,
  type RunInput,
  type RunLimits,
  type RunState,
  readyWorkers,
  transition,
} from '../../coordinator/core/run.js';
import { waitingFor } from '../../coordinator/core/waiting-for.js';

const limits: RunLimits = { silenceMs: 4_000, prepareMs: 9_000, withoutWorkersMs: 7_000, lossesPerShard: 4 };

const worker = fc.nat(4);
const range = fc
  .tuple(fc.integer({ min: -1, max: 9 }), fc.integer({ min: -1, max: 9 }))
  .map(([lo, hi]) => ({ lo, hi }));

const input: fc.Arbitrary<RunInput> = fc.oneof(
  fc.record({ type: fc.constantFrom('joined' as const, 'preparing' as const), worker }),
  { weight: 3, arbitrary: fc.record({ type: fc.constant('ready' as const), worker }) },
  fc.record({ type: fc.constant('heard' as const), worker }),
  fc.record({ type: fc.constant('left' as const), worker, reason: fc.constant('gone') }),
  {
    weight: 4,
    arbitrary: fc.record({ type: fc.constant('partial' as const), worker, roundId: fc.nat(6), range }),
  },
  { weight: 2, arbitrary: fc.constant({ type: 'tick' as const }) },
);

/** What may happen next, and how much later; `begin` only when no round is open, as its caller promises. */
type Happening = { readonly afterMs: number; readonly input: RunInput | 'begin' | 'deliver' };
const happening: fc.Arbitrary<Happening> = fc.record({
  afterMs: fc.constantFrom(0, 0, 0, 100, 900, 1_500, 20_000),
  input: fc.oneof(
    { weight: 4, arbitrary: input },
    { weight: 1, arbitrary: fc.constant('begin' as const) },
    // A worker that holds shards sends a part of them, as it should.
    { weight: 3, arbitrary: fc.constant('deliver' as const) },
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
    const waiting = waitingFor(state, nowMs);
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
      step({ type: 'begin', round: { id: roundId, kind: 'train', shards, present } });
    } else if (next === 'deliver') {
      if (state.phase !== 'working') continue;
      const shard = state.round.statuses.findIndex(({ status }) => status === 'assigned');
      const status = state.round.statuses[shard];
      if (status?.status !== 'assigned') continue;
      step({ type: 'partial', worker: status.worker, roundId, range: { lo: shard, hi: shard + 1 } });
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
          if (state.phase === 'working') expect(accepted.length).toBeLessThan(state.round.spec.present);
        });
      }),
      { numRuns: 300 },
    );
  });

  it('it orders only from ready members that hold nothing else, and only pending shards', () => {
    fc.assert(
      fc.property(fc.array(happening, { maxLength: 120 }), (happenings) => {
        play(happenings, (_before, _input, state, effects) => {
          for (const effect of effects) {
            if (effect.type !== 'compute') continue;
            expect(readyWorkers(state)).toContain(effect.worker);
            expect(state.phase === 'working' && state.round.spec.id).toBe(effect.roundId);
            if (state.phase !== 'working') continue;
            for (let shard = effect.range.lo; shard < effect.range.hi; shard++) {
              expect(state.round.statuses[shard]).toMatchObject({
                status: 'assigned',
                worker: effect.worker,
              });
            }
          }
          if (state.phase !== 'working') return;
          const { statuses } = state.round;
          const busy = new Set(
            statuses.flatMap((status) => (status.status === 'assigned' ? [status.worker] : [])),
          );
          const idle = readyWorkers(state).filter((member) => !busy.has(member));
          // No shard waits while a worker could take it.
          if (statuses.some(({ status }) => status === 'pending')) expect(idle).toEqual([]);
          for (const holder of busy) expect(state.members.has(holder)).toBe(true);
        });
      }),
      { numRuns: 300 },
    );
  });
});
