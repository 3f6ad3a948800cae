import { describe, expect, it } from 'vitest';
import { isCompared } from '../../coordinator/core/answer.js';
import { readyWorkers } from '../../coordinator/core/run.js';
import { waitingFor } from '../../coordinator/core/waiting-for.js';
import { accept, compute, limits, Run } from './core-run.js';

const keep = (worker: number, lo: number, hi: number) => ({ type: 'keep', worker, range: { lo, hi } });
const complete = { type: 'complete', roundId: 6 };

/** Two shards, of which shard 0 is audited: worker 0 has it, worker 1 has shard 1 and the second copy. */
function audited(...workers: number[]): Run {
  const run = new Run();
  run.ready(...workers);
  run.begin({ id: 6, shards: 2, present: 2, audited: [0] });
  return run;
}

describe('an audited shard', () => {
  it('is ordered from two workers at once', () => {
    const run = audited(0, 1);
    expect(run.of('compute')).toEqual([
      compute(0, 0, 1, 6),
      compute(1, 1, 2, 6),
      compute(1, 0, 1, 6, 'audit'),
    ]);
  });

  it('counts when both have given the same bits, once', () => {
    const run = audited(0, 1);
    expect(run.partial(0, 0, 1, 6)).toEqual([keep(0, 0, 1)]);
    run.partial(1, 1, 2, 6);
    expect(run.state.phase).toBe('working');
    expect(run.partial(1, 0, 1, 6)).toEqual([accept(0, 0, 1), complete]);
  });

  it('goes to a third when two differ; the one that differs from two is excluded', () => {
    const run = audited(0, 1, 2);
    run.partial(0, 0, 1, 6, 'wrong');
    run.partial(1, 1, 2, 6);
    const [third] = run.of('compute').filter(({ why }) => why === 'audit');
    expect(third.worker).toBe(2);
    expect(run.partial(2, 0, 1, 6)).toMatchObject([
      keep(2, 0, 1),
      { type: 'disagreement', workers: [0, 2] },
      compute(1, 0, 1, 6, 'confirm'),
    ]);
    expect(run.partial(1, 0, 1, 6)).toMatchObject([
      accept(2, 0, 1),
      { type: 'exclude', worker: 0, by: [2, 1] },
      complete,
    ]);
    expect(readyWorkers(run.state)).toEqual([1, 2]);
  });

  it('takes all that an excluded worker sent out of the sum: that begins anew', () => {
    const run = new Run();
    run.ready(0, 1, 2);
    run.begin({ id: 3, shards: 8, present: 6, audited: [1] });
    expect(run.partial(0, 0, 1, 3)).toEqual([accept(0, 0, 1)]);
    run.partial(0, 1, 2, 3, 'wrong');
    run.partial(1, 2, 4, 3);
    run.partial(2, 4, 6, 3);
    const [second] = run.of('compute').filter(({ why }) => why === 'audit');
    run.partial(second.worker, 1, 2, 3);
    const other = second.worker === 1 ? 2 : 1;
    const effects = run.partial(other, 1, 2, 3);
    expect(effects.slice(0, 4)).toMatchObject([
      accept(second.worker, 1, 2),
      { type: 'exclude', worker: 0 },
      { type: 'restart' },
      { type: 'recompute', shards: 6 },
    ]);
    // All of it is ordered again, from the two that are left, and completes.
    for (let left = 20; left > 0 && run.state.phase === 'working'; left--) {
      const [unit] = run.state.round.units.filter(({ holders }) => holders.length > 0);
      run.partial(unit.holders[0].worker, unit.range.lo, unit.range.hi, 3);
    }
    expect(run.state.phase).toBe('idle');
    const accepted = run.effects.slice(run.effects.findIndex(({ type }) => type === 'restart'));
    const shards = accepted.flatMap((effect) => (effect.type === 'accept' ? [effect.range] : []));
    expect(shards.reduce((sum, { lo, hi }) => sum + hi - lo, 0)).toBe(6);
  });

  it('stops the run when two differ and nobody can decide, naming both', () => {
    const run = audited(0, 1);
    run.partial(0, 0, 1, 6, 'wrong');
    run.partial(1, 1, 2, 6);
    expect(run.partial(1, 0, 1, 6)).toMatchObject([
      keep(1, 0, 1),
      { type: 'disagreement', workers: [0, 1] },
      { type: 'stop', cause: { code: 'NOT_DETERMINISTIC' } },
    ]);
    expect(run.state).toMatchObject({
      cause: { message: 'workers 0 and 1 disagree about shard 0 of step 6, and no other worker can decide' },
    });
  });

  it('waits for a worker that is being prepared before it gives up', () => {
    const run = audited(0, 1);
    run.step({ type: 'preparing', worker: 2 });
    run.partial(0, 0, 1, 6, 'wrong');
    run.partial(1, 1, 2, 6);
    run.partial(1, 0, 1, 6);
    expect(run.state.phase).toBe('working');
    expect(waitingFor(run.state, 0, limits)).toBe(
      'waiting for a free worker to decide who is right about shard 0 of step 6',
    );
    expect(run.answerSetup(2)).toEqual([compute(2, 0, 1, 6, 'confirm')]);
    expect(run.partial(2, 0, 1, 6)).toMatchObject([
      accept(1, 0, 1),
      { type: 'exclude', worker: 0, by: [1, 2] },
      complete,
    ]);
  });

  it('is accepted as it is where there is no second worker, and that is said', () => {
    const run = audited(0);
    expect(run.partial(0, 0, 1, 6)).toMatchObject([
      keep(0, 0, 1),
      accept(0, 0, 1),
      { type: 'unconfirmed', worker: 0, finite: true },
    ]);
    expect(run.partial(0, 1, 2, 6)).toContainEqual(complete);
  });

  it('is audited by a worker that comes in time', () => {
    const run = audited(0);
    run.ready(1);
    expect(run.of('compute').at(-1)).toEqual(compute(1, 0, 1, 6, 'audit'));
  });

  it('finds another auditor when the first is lost', () => {
    const run = audited(0, 1, 2);
    run.partial(0, 0, 1, 6);
    run.step({ type: 'left', worker: 2, reason: 'killed' });
    run.partial(1, 1, 2, 6);
    expect(run.of('compute').at(-1)).toEqual(compute(1, 0, 1, 6, 'confirm'));
    expect(run.partial(1, 0, 1, 6)).toEqual([accept(0, 0, 1), complete]);
  });

  it('is confirmed also by the answer of a worker that was lost since', () => {
    const run = audited(0, 1);
    run.partial(0, 0, 1, 6);
    run.step({ type: 'left', worker: 0, reason: 'killed' });
    run.partial(1, 1, 2, 6);
    expect(run.partial(1, 0, 1, 6)).toEqual([accept(0, 0, 1), complete]);
  });
});

describe('an answer with NaN or Inf', () => {
  function sick(...workers: number[]): Run {
    const run = new Run();
    run.ready(...workers);
    run.begin({ id: workers.length, shards: workers.length, present: workers.length });
    return run;
  }

  it('is a fact of the model when another worker gives the same bits', () => {
    const run = sick(0, 1);
    expect(run.partial(0, 0, 1, 2, 'NaN')).toEqual([keep(0, 0, 1)]);
    expect(run.partial(1, 1, 2, 2)).toEqual([accept(1, 1, 2), compute(1, 0, 1, 2, 'confirm')]);
    expect(run.partial(1, 0, 1, 2, 'NaN')).toEqual([accept(0, 0, 1), { type: 'complete', roundId: 2 }]);
  });

  it('is a sick device when two others give the same finite bits', () => {
    const run = sick(0, 1, 2);
    run.partial(0, 0, 1, 3, 'NaN');
    run.partial(1, 1, 2, 3);
    expect(run.partial(1, 0, 1, 3)).toMatchObject([keep(1, 0, 1), { type: 'disagreement', workers: [0, 1] }]);
    expect(run.partial(2, 2, 3, 3)).toEqual([accept(2, 2, 3), compute(2, 0, 1, 3, 'confirm')]);
    expect(run.partial(2, 0, 1, 3)).toMatchObject([
      accept(1, 0, 1),
      { type: 'exclude', worker: 0, by: [1, 2] },
      { type: 'complete', roundId: 3 },
    ]);
  });

  it('is accepted, and that is said, where no other worker is ready', () => {
    const run = sick(0);
    expect(run.partial(0, 0, 1, 1, 'NaN')).toMatchObject([
      keep(0, 0, 1),
      accept(0, 0, 1),
      { type: 'unconfirmed', worker: 0, finite: false },
      { type: 'complete', roundId: 1 },
    ]);
  });

  it('is not held up by a worker that does not answer', () => {
    const run = sick(0, 1);
    run.partial(0, 0, 1, 2, 'NaN');
    const effects = run.wait(200_000, [0, 1]);
    expect(effects).toMatchObject([
      accept(0, 0, 1),
      { type: 'unconfirmed', worker: 0, finite: false },
      compute(0, 1, 2, 2, 'duplicate'),
    ]);
  });
});

describe('the digest of an answer', () => {
  it('is needed only where another answer for the same unit was, is or can be computed', () => {
    const run = audited(0, 1);
    const claim = (worker: number, lo: number) => ({ worker, roundId: 6, range: { lo, hi: lo + 1 } });
    expect(isCompared(run.state, claim(0, 0))).toBe(true);
    expect(isCompared(run.state, claim(1, 1))).toBe(false);
    expect(isCompared(run.state, claim(0, 1))).toBe(false);
    expect(isCompared(run.state, { ...claim(0, 0), roundId: 5 })).toBe(false);
  });
});
