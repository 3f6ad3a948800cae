import { describe, expect, it } from 'vitest';
import { shardStatuses } from '../../coordinator/core/round.js';
import { type RunInput, readyWorkers } from '../../coordinator/core/run.js';
import { waitingFor } from '../../coordinator/core/waiting-for.js';
import { limits, Run } from './core-run.js';

describe('a run stops', () => {
  it('not while a worker prepares: that has a deadline of its own', () => {
    const run = new Run();
    run.ready(0);
    run.begin();
    run.step({ type: 'left', worker: 0, reason: 'killed' });
    run.step({ type: 'joined', worker: 1 });
    run.step({ type: 'preparing', worker: 1 });
    expect(run.wait(45_000, [1])).toEqual([]);
    expect(run.answerSetup(1)).toMatchObject([{ type: 'compute', worker: 1 }]);
  });

  it('when no worker has been ready for as long as the limit, counted from when the last was lost', () => {
    const run = new Run();
    run.ready(0);
    run.wait(20_000, [0]);
    run.begin();
    run.wait(5_000, [0]);
    run.step({ type: 'left', worker: 0, reason: 'killed' });
    expect(run.wait(29_000)).toEqual([]);
    const [effect, ...others] = run.wait(1_000);
    expect(others).toEqual([]);
    expect(effect).toMatchObject({
      type: 'stop',
      cause: { code: 'NO_WORKERS', message: 'no worker has been ready for 30 s' },
    });
    expect(run.state.phase).toBe('stopped');
  });

  it('not for want of workers while nothing is to be computed', () => {
    const run = new Run();
    expect(run.wait(300_000)).toEqual([]);
    run.begin();
    // The wait is for this round: the time before does not count.
    expect(run.wait(29_000)).toEqual([]);
  });

  it('when a shard ends every worker that takes it', () => {
    const run = new Run();
    run.ready(0, 1, 2, 3);
    run.begin();
    const holderOf = (shard: number): number => {
      if (run.state.phase !== 'working') throw new RangeError('the run stopped too early');
      const status = shardStatuses(run.state.round)[shard];
      return status.status === 'assigned' ? status.holders[0].worker : Number.NaN;
    };
    for (const shard of [0, 1, 3]) run.partial(holderOf(shard), shard, shard + 1);
    for (let loss = 0; loss < 2; loss++) {
      run.step({ type: 'left', worker: holderOf(2), reason: 'crash' });
      expect(run.state.phase).toBe('working');
    }
    run.step({ type: 'left', worker: holderOf(2), reason: 'crash' });
    expect(run.state).toMatchObject({ phase: 'stopped', cause: { code: 'WORKER_FAILED' } });
    expect(run.effects.at(-1)).toMatchObject({
      type: 'stop',
      cause: { message: expect.stringContaining('shard 2') },
    });
  });

  it('when it is told so, with the cause it is told', () => {
    const run = new Run();
    const cause = {
      code: 'WORKER_OUT_OF_MEMORY' as const,
      message: 'out of memory',
      hint: 'Raise --shards.',
    };
    expect(run.step({ type: 'stop', cause })).toEqual([{ type: 'stop', cause }]);
  });

  it('and then ignores everything', () => {
    const run = new Run();
    run.ready(0);
    run.begin();
    run.step({ type: 'stop', cause: { code: 'WORKER_FAILED', message: 'a', hint: 'b' } });
    const before = run.state;
    const inputs: RunInput[] = [
      { type: 'joined', worker: 4 },
      { type: 'preparing', worker: 4 },
      { type: 'ready', worker: 4, canaryMs: null },
      { type: 'heard', worker: 0 },
      { type: 'left', worker: 0, reason: 'r' },
      {
        type: 'begin',
        round: { id: 2, kind: 'train', step: 1, shards: 4, present: 4, rowsPerShard: 8, audited: [] },
      },
      { type: 'partial', worker: 0, roundId: 1, range: { lo: 0, hi: 4 }, digest: 'd', finite: true },
      { type: 'stop', cause: { code: 'NO_WORKERS', message: 'c', hint: 'd' } },
      { type: 'tick' },
    ];
    for (const input of inputs) {
      expect(run.step(input)).toEqual([]);
      expect(run.state).toBe(before);
    }
    expect(readyWorkers(run.state)).toEqual([]);
    expect(waitingFor(run.state, run.nowMs, limits)).toBeNull();
  });
});
