import { describe, expect, it } from 'vitest';
import { readyWorkers } from '../../coordinator/core/run.js';
import { Run } from './core-run.js';

describe('a worker', () => {
  it('counts once it is ready, not when it joins or prepares', () => {
    const run = new Run();
    run.step({ type: 'joined', worker: 0 });
    expect(readyWorkers(run.state)).toEqual([]);
    run.step({ type: 'preparing', worker: 0 });
    expect(readyWorkers(run.state)).toEqual([]);
    run.answerSetup(0);
    expect(readyWorkers(run.state)).toEqual([0]);
  });

  it('is no longer ready when it has another program to build', () => {
    const run = new Run();
    run.ready(0, 1);
    run.step({ type: 'preparing', worker: 0 });
    expect(readyWorkers(run.state)).toEqual([1]);
  });

  it('that was never told what to build may be silent for as long as it likes', () => {
    const run = new Run();
    run.step({ type: 'joined', worker: 0 });
    expect(run.wait(600_000)).toEqual([]);
    run.step({ type: 'preparing', worker: 0 });
    run.answerSetup(0);
    expect(readyWorkers(run.state)).toEqual([0]);
  });

  it('that says nothing is evicted at the limit, not before, with the reason', () => {
    const run = new Run();
    run.ready(0, 1);
    expect(run.wait(9_000, [1])).toEqual([]);
    expect(run.wait(1_000, [1])).toEqual([{ type: 'evict', worker: 0, reason: 'silent for 10.0 s' }]);
    expect(readyWorkers(run.state)).toEqual([1]);
  });

  it('that is heard stays', () => {
    const run = new Run();
    run.ready(0);
    expect(run.wait(100_000, [0])).toEqual([]);
  });

  it('that takes too long to build its program is evicted although it is heard', () => {
    const run = new Run();
    run.step({ type: 'preparing', worker: 0 });
    expect(run.wait(59_000, [0])).toEqual([]);
    expect(run.wait(1_000, [0])).toEqual([
      { type: 'evict', worker: 0, reason: 'not ready after 60 s of preparing' },
    ]);
  });

  it('is not evicted for time in which the coordinator itself was held up', () => {
    const run = new Run();
    run.ready(0, 1);
    run.begin();
    run.nowMs += 3_600_000;
    expect(run.step({ type: 'tick' })).toEqual([]);
    expect(run.wait(9_000, [1])).toEqual([]);
    // From then on the limit holds again.
    expect(run.wait(1_000, [1])).toContainEqual(expect.objectContaining({ type: 'evict', worker: 0 }));
    expect(readyWorkers(run.state)).toEqual([1]);
  });
});
