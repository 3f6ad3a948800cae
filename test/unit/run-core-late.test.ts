import { describe, expect, it } from 'vitest';
import { candidates, type RunEffect, readyWorkers } from '../../coordinator/core/run.js';
import { waitingFor } from '../../coordinator/core/waiting-for.js';
import { accept, compute, limits, Run } from './core-run.js';

/** Workers 0 and 1 with three rounds behind them: half of four shards took each of them 200 ms. */
function practised(...more: number[]): Run {
  const run = new Run();
  run.ready(0, 1);
  for (let id = 1; id <= 3; id++) {
    run.begin({ id });
    pass(run, 200);
    run.partial(0, 0, 2, id);
    run.partial(1, 2, 4, id);
  }
  run.ready(...more);
  return run;
}
// Floor + 2 shards · 2 · 100 ms.
const deadlineMs = 1_400;

/** Lets time pass, with ticks, while all workers are heard. Gives what the ticks cause. */
function pass(run: Run, ms: number): readonly RunEffect[] {
  const effects: RunEffect[] = [];
  for (let left = ms; left > 0; left -= 500) {
    run.nowMs += Math.min(left, 500);
    for (const worker of readyWorkers(run.state)) run.step({ type: 'heard', worker });
    effects.push(...run.step({ type: 'tick' }));
  }
  return effects;
}

describe('a unit that takes too long', () => {
  it('is given to an idle worker as well at its deadline, not before', () => {
    const run = practised();
    run.begin({ id: 4 });
    pass(run, 200);
    run.partial(0, 0, 2, 4);
    expect(pass(run, deadlineMs - 201)).toEqual([]);
    expect(pass(run, 1)).toEqual([compute(0, 2, 4, 4, 'duplicate')]);
  });

  it('is given to no third while the second computes it in time', () => {
    const run = practised(2);
    run.begin({ id: 6, shards: 4, present: 4 });
    const [first, second, third] = run.of('compute').slice(-3);
    for (const { worker, range } of [first, second]) run.partial(worker, range.lo, range.hi, 6);
    const effects = pass(run, deadlineMs);
    expect(effects).toHaveLength(1);
    expect(effects).toMatchObject([{ type: 'compute', range: third.range, why: 'duplicate' }]);
    expect(pass(run, 900)).toEqual([]);
  });

  it('is done with the first answer, and the second is compared with it', () => {
    const run = practised();
    run.begin({ id: 4 });
    run.partial(0, 0, 2, 4);
    pass(run, deadlineMs);
    expect(run.partial(0, 2, 4, 4)).toEqual([accept(0, 2, 4), { type: 'complete', roundId: 4 }]);
    expect(run.partial(1, 2, 4, 4)).toEqual([]);
    expect(run.state.phase).toBe('idle');
    expect(run.of('credit').filter(({ worker }) => worker === 1)).toHaveLength(4);
  });

  it('goes to a third when the second, too, is past its deadline', () => {
    const run = practised(2);
    run.begin({ id: 6, shards: 2, present: 2 });
    run.partial(0, 0, 1, 6);
    expect(pass(run, 1_200)).toEqual([compute(0, 1, 2, 6, 'duplicate')]);
    expect(pass(run, 1_200)).toEqual([compute(2, 1, 2, 6, 'duplicate')]);
    expect(run.partial(2, 1, 2, 6)).toEqual([accept(2, 1, 2), { type: 'complete', roundId: 6 }]);
  });

  it('takes all that its worker holds along: they wait behind it', () => {
    const run = practised();
    run.begin({ id: 4, shards: 8, present: 6 });
    // Three shards each: 0-2 and 2-3, 3-4 and 4-6.
    run.partial(0, 0, 2, 4);
    run.partial(0, 2, 3, 4);
    expect(pass(run, deadlineMs)).toEqual([
      compute(0, 3, 4, 4, 'duplicate'),
      compute(0, 4, 6, 4, 'duplicate'),
    ]);
  });

  it('is no reason to send its worker away, which is heard', () => {
    const run = practised();
    run.begin({ id: 4 });
    run.partial(0, 0, 2, 4);
    for (let s = 0; s < 60; s++) pass(run, 1_000);
    expect(run.of('evict')).toEqual([]);
  });

  it('has five answers to go by; before, it has a large multiple of the canary', () => {
    const run = new Run();
    run.ready(0);
    run.step({ type: 'joined', worker: 1 });
    run.step({ type: 'preparing', worker: 1 });
    run.answerSetup(1, 50);
    run.begin();
    run.partial(0, 2, 4);
    run.partial(0, 0, 2);
    // Warm-up and 2 · 100 · 50 ms.
    for (let ms = 0; ms < 19_000; ms += 1_000) expect(pass(run, 1_000)).toEqual([]);
    expect(pass(run, 1_000)).toEqual([compute(0, 2, 4, 1, 'duplicate')]);
  });

  it("is not the worker's fault when the coordinator itself was held up", () => {
    const run = practised();
    run.begin({ id: 4 });
    run.partial(0, 0, 2, 4);
    run.nowMs += 30_000;
    expect(run.step({ type: 'tick' })).toEqual([]);
    expect(pass(run, 1_000)).toEqual([]);
    expect(pass(run, 500)).toEqual([compute(0, 2, 4, 4, 'duplicate')]);
  });

  it("ends with its worker's loss if no answer comes for very long, although it is heard", () => {
    const run = new Run();
    run.ready(0);
    run.begin({ id: 9 });
    let evicted: readonly unknown[] = [];
    // Twenty times the deadline of four shards of which nothing is known.
    const lostMs = 20 * (10_000 + 4 * 60_000);
    while (run.nowMs < lostMs) evicted = pass(run, 1_000);
    expect(evicted).toEqual([
      { type: 'evict', worker: 0, reason: 'no answer for shards 0 to 3 of step 9 after 5000.0 s' },
      { type: 'recompute', shards: 4 },
    ]);
  });
});

describe('a worker that owes an answer of an earlier round', () => {
  function owing(...more: number[]): Run {
    const run = practised(...more);
    run.begin({ id: 4, shards: 2, present: 2 });
    run.partial(0, 0, 1, 4);
    pass(run, 1_200);
    run.partial(0, 1, 2, 4);
    return run;
  }

  it('gets nothing new while another owes nothing', () => {
    const run = owing();
    expect(run.begin({ id: 5 })).toEqual([compute(0, 0, 4, 5)]);
  });

  it('is free with its answer, and takes part again at once', () => {
    const run = owing();
    expect(candidates(run.state)).toEqual([0]);
    run.partial(1, 1, 2, 4);
    expect(candidates(run.state)).toEqual([0, 1]);
    expect(run.begin({ id: 6 })).toHaveLength(2);
  });

  it('is free as well when it is told to build another program', () => {
    const run = owing();
    run.step({ type: 'preparing', worker: 1 });
    run.answerSetup(1);
    expect(candidates(run.state)).toEqual([0, 1]);
    expect(run.partial(1, 1, 2, 4)).toEqual([{ type: 'reject', worker: 1, code: 'stale_step' }]);
  });

  it('never blocks a run that has another worker', () => {
    const run = owing();
    for (let id = 5; id < 50; id++) {
      run.begin({ id });
      pass(run, 900);
      expect(run.partial(0, 0, 4, id)).toContainEqual({ type: 'complete', roundId: id });
    }
  });

  it('gets shards when there is no other, rather than none', () => {
    const run = owing();
    run.step({ type: 'left', worker: 0, reason: 'killed' });
    expect(run.begin({ id: 5 })).toEqual([compute(1, 0, 4, 5)]);
    expect(run.partial(1, 1, 2, 4)).toEqual([]);
    expect(run.partial(1, 0, 4, 5)).toContainEqual({ type: 'complete', roundId: 5 });
  });

  it('answers once: what comes again is stale', () => {
    const run = owing();
    run.partial(1, 1, 2, 4);
    expect(run.partial(1, 1, 2, 4)).toEqual([{ type: 'reject', worker: 1, code: 'stale_step' }]);
  });

  it('stops the run when it differs from what was committed, naming both', () => {
    const run = owing();
    const effects = run.partial(1, 1, 2, 4, 'other bits');
    expect(effects).toMatchObject([
      { type: 'disagreement', workers: [0, 1] },
      { type: 'stop', cause: { code: 'NOT_DETERMINISTIC' } },
    ]);
    expect(run.state).toMatchObject({
      cause: { message: 'workers 0 and 1 disagree about shard 1 of step 4, which is over' },
    });
  });
});

describe('what is waited for', () => {
  it('says when another worker computes it as well', () => {
    const run = practised();
    run.begin({ id: 4 });
    run.partial(0, 0, 2, 4);
    run.nowMs += 600;
    expect(waitingFor(run.state, run.nowMs, limits)).toBe(
      'waiting for worker 1: shards 2 to 3 of step 4 for 0.6 s; another worker computes it as well in 0.8 s',
    );
  });

  it('names both who compute it, and what happens if neither answers', () => {
    const run = practised();
    run.begin({ id: 4 });
    run.partial(0, 0, 2, 4);
    pass(run, deadlineMs);
    expect(waitingFor(run.state, run.nowMs, limits)).toBe(
      'waiting for workers 1 and 0: shards 2 to 3 of step 4 for 1.4 s; no other worker can compute it; ' +
        'worker 1 is lost in 10.0 s if it is not heard from',
    );
  });
});
