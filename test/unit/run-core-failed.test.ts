import { describe, expect, it } from 'vitest';
import { candidates, readyWorkers } from '../../coordinator/core/run.js';
import type { FailureReport } from '../../coordinator/core/run-state.js';
import { waitingFor } from '../../coordinator/core/waiting-for.js';
import { accept, compute, limits, Run } from './core-run.js';

const report: Omit<FailureReport, 'worker' | 'range'> = {
  type: 'failed',
  roundId: 1,
  shard: null,
  code: 'WORKER_FAILED',
  message: 'the device is gone',
  hint: 'h',
  othersMayCome: false,
};

/** Four shards, two for each of two workers. */
function begun(...workers: number[]): Run {
  const run = new Run();
  run.ready(...workers);
  run.begin();
  return run;
}

function fail(run: Run, worker: number, lo: number, hi: number, more: Partial<FailureReport> = {}) {
  return run.step({ ...report, worker, range: { lo, hi }, ...more });
}

describe('a worker that cannot compute a shard', () => {
  it('is told from the job by another that computes it: it is sent away, and the step completes', () => {
    const run = begun(0, 1);
    expect(fail(run, 1, 2, 4, { shard: 3 })).toMatchObject([
      { type: 'doubt', failure: { worker: 1, shard: 3, message: 'the device is gone' } },
      { type: 'recompute', shards: 2 },
    ]);
    expect(run.partial(0, 0, 2)).toEqual([accept(0, 0, 2), compute(0, 2, 4)]);
    expect(run.partial(0, 2, 4)).toMatchObject([
      accept(0, 2, 4),
      { type: 'dismiss', failure: { worker: 1, shard: 3 }, by: 0 },
      { type: 'complete', roundId: 1 },
    ]);
    expect(readyWorkers(run.state)).toEqual([0]);
  });

  it('is given nothing while that is open, and what it sends besides does not count', () => {
    const run = begun(0, 1);
    fail(run, 1, 2, 4);
    expect(candidates(run.state)).toEqual([0]);
    expect(run.partial(1, 2, 4)).toEqual([{ type: 'reject', worker: 1, code: 'not_assigned' }]);
    expect(fail(run, 1, 2, 4)).toEqual([{ type: 'reject', worker: 1, code: 'not_assigned' }]);
    expect(run.answerSetup(1)).toEqual([]);
    expect(candidates(run.state)).toEqual([0]);
  });

  it('is outdone at once when another holds the shard as well and answers', () => {
    const run = begun(0, 1);
    run.partial(0, 0, 2);
    run.wait(140_000, [0, 1]);
    expect(run.effects).toContainEqual(compute(0, 2, 4, 1, 'duplicate'));
    expect(fail(run, 1, 2, 4)).toMatchObject([{ type: 'doubt', failure: { shard: 2 } }]);
    expect(run.partial(0, 2, 4)).toMatchObject([
      accept(0, 2, 4),
      { type: 'dismiss', failure: { worker: 1, shard: 2 }, by: 0 },
      { type: 'complete' },
    ]);
  });

  it('keeps what it has answered of the step before', () => {
    const run = new Run();
    run.ready(0, 1);
    run.begin({ shards: 8, present: 6 });
    expect(run.partial(1, 3, 4)).toEqual([accept(1, 3, 4)]);
    fail(run, 1, 3, 6, { shard: 5 });
    run.partial(0, 0, 2);
    expect(run.partial(0, 2, 3)).toEqual([accept(0, 2, 3), compute(0, 4, 6)]);
    expect(run.partial(0, 4, 6)).toMatchObject([accept(0, 4, 6), { type: 'dismiss' }, { type: 'complete' }]);
  });

  it('stops the run when another fails at the same shard, with both named, whatever each says', () => {
    const run = begun(0, 1, 2);
    fail(run, 2, 3, 4);
    run.partial(0, 0, 1);
    const [order] = run.of('compute').slice(-1);
    expect(order).toMatchObject({ worker: 0, range: { lo: 3, hi: 4 } });
    fail(run, 0, 3, 4, { code: 'WORKER_OUT_OF_MEMORY', message: 'no room', hint: 'other' });
    expect(run.state).toMatchObject({
      phase: 'stopped',
      cause: {
        code: 'WORKER_FAILED',
        message:
          'workers 2 and 0 failed at shard 3 of step 1: worker 2: the device is gone; worker 0: no room',
        hint: 'h',
        at: { shard: 3 },
      },
    });
  });

  it('stops the run when all have failed, each at a shard of its own', () => {
    const run = begun(0, 1);
    fail(run, 0, 0, 2, { othersMayCome: true });
    fail(run, 1, 2, 4, { othersMayCome: true });
    expect(run.state).toMatchObject({
      cause: {
        message: 'workers 0 and 1 failed at shards 0, 2 of step 1: the device is gone',
        at: { shard: 0 },
      },
    });
  });

  it('stops the run at once where there is no other worker, and none may come', () => {
    const run = begun(0);
    expect(fail(run, 0, 0, 4)).toEqual([
      {
        type: 'stop',
        cause: { code: 'WORKER_FAILED', message: 'worker 0: the device is gone', hint: 'h' },
      },
    ]);
  });

  it('waits for another where one may come, says so, and stops with its reason if none does', () => {
    const run = begun(0);
    fail(run, 0, 0, 4, { othersMayCome: true });
    run.wait(20_000, [0]);
    expect(waitingFor(run.state, run.nowMs, limits)).toBe(
      'waiting for another worker to try shard 0, at which worker 0 failed (20.0 s); the run stops in 10.0 s',
    );
    run.wait(10_000, [0]);
    expect(run.state).toMatchObject({
      cause: { code: 'WORKER_FAILED', message: 'worker 0: the device is gone' },
    });
  });

  it('is outdone by one that joins later', () => {
    const run = begun(0);
    fail(run, 0, 0, 4, { othersMayCome: true });
    run.wait(20_000, [0]);
    run.ready(1);
    expect(run.effects.at(-1)).toEqual(compute(1, 0, 4));
    expect(run.partial(1, 0, 4)).toMatchObject([accept(1, 0, 4), { type: 'dismiss' }, { type: 'complete' }]);
  });

  it('counts against the job also when it has left since', () => {
    const run = begun(0, 1);
    fail(run, 1, 2, 4);
    run.step({ type: 'left', worker: 1, reason: 'out of memory' });
    run.partial(0, 0, 2);
    fail(run, 0, 2, 4);
    expect(run.state).toMatchObject({
      cause: { message: expect.stringMatching(/^workers 1 and 0 failed at shard 2/) },
    });
  });

  it('is not missed when it has left since, and another computes the shard', () => {
    const run = begun(0, 1);
    fail(run, 1, 2, 4);
    run.step({ type: 'left', worker: 1, reason: 'out of memory' });
    run.partial(0, 0, 2);
    expect(run.partial(0, 2, 4)).toEqual([accept(0, 2, 4), { type: 'complete', roundId: 1 }]);
  });
});

describe('a failure that comes late', () => {
  it('settles what the worker owed: another has computed it, so it is sent away', () => {
    const run = begun(0, 1);
    run.partial(0, 0, 2);
    run.wait(140_000, [0, 1]);
    run.partial(0, 2, 4);
    expect(run.state).toMatchObject({ phase: 'idle', debts: [{ worker: 1 }] });
    expect(fail(run, 1, 2, 4, { shard: 3 })).toMatchObject([
      { type: 'dismiss', failure: { worker: 1, shard: 3 }, by: 0 },
    ]);
    expect(run.state).toMatchObject({ phase: 'idle', debts: [] });
    expect(readyWorkers(run.state)).toEqual([0]);
  });

  it('takes what the worker holds of the present step from it', () => {
    const run = begun(0, 1);
    run.partial(0, 0, 2);
    run.wait(140_000, [0, 1]);
    run.partial(0, 2, 4);
    run.step({ type: 'left', worker: 0, reason: 'killed' });
    run.ready(2);
    run.step({ type: 'left', worker: 2, reason: 'killed' });
    expect(run.begin({ id: 2 })).toEqual([compute(1, 0, 4, 2)]);
    expect(fail(run, 1, 2, 4)).toMatchObject([{ type: 'dismiss' }, { type: 'recompute', shards: 4 }]);
    run.ready(3);
    expect(run.effects.at(-1)).toEqual(compute(3, 0, 4, 2));
  });

  it('is of no effect when nobody asked for it', () => {
    const run = begun(0, 1);
    expect(fail(run, 1, 0, 4, { roundId: 7 })).toEqual([{ type: 'reject', worker: 1, code: 'stale_step' }]);
    expect(fail(run, 1, 0, 2)).toEqual([{ type: 'reject', worker: 1, code: 'not_assigned' }]);
    expect(run.step({ ...report, worker: 9, range: { lo: 0, hi: 2 } })).toEqual([]);
  });
});
