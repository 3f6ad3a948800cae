import { describe, expect, it } from 'vitest';
import { waitingFor } from '../../coordinator/core/waiting-for.js';
import { accept, compute, limits, Run } from './core-run.js';

describe('a round', () => {
  it('is dealt to all ready workers, in contiguous ranges', () => {
    const run = new Run();
    run.ready(3, 7);
    expect(run.begin({ id: 2 })).toEqual([compute(3, 0, 2, 2), compute(7, 2, 4, 2)]);
  });

  it('is complete with its last partial, in whatever order they come', () => {
    const run = new Run();
    run.ready(0, 1);
    run.begin();
    expect(run.partial(1, 2, 4)).toEqual([accept(1, 2, 4)]);
    expect(run.state.phase).toBe('working');
    expect(run.partial(0, 0, 2)).toEqual([accept(0, 0, 2), { type: 'complete', roundId: 1 }]);
    expect(run.state.phase).toBe('idle');
  });

  it('waits for absent shards of a small batch no more than it orders them', () => {
    const run = new Run();
    run.ready(0, 1);
    expect(run.begin({ shards: 8, present: 3, id: 2 })).toEqual([compute(0, 0, 2, 2), compute(1, 2, 3, 2)]);
    run.partial(0, 0, 2, 2);
    expect(run.partial(1, 2, 3, 2)).toContainEqual({ type: 'complete', roundId: 2 });
  });

  it('that begins without workers is given to the first that is ready', () => {
    const run = new Run();
    expect(run.begin()).toEqual([]);
    run.step({ type: 'joined', worker: 5 });
    run.step({ type: 'preparing', worker: 5 });
    expect(run.answerSetup(5)).toEqual([compute(5, 0, 4)]);
  });

  it('gives nothing to a worker that joins while every shard is being computed', () => {
    const run = new Run();
    run.ready(0);
    run.begin();
    run.ready(1);
    expect(run.effects).toEqual([compute(0, 0, 4)]);
    run.partial(0, 0, 4);
    expect(run.begin({ id: 2 })).toEqual([compute(0, 0, 2, 2), compute(1, 2, 4, 2)]);
  });
});

describe('a worker that is lost in the middle of a round', () => {
  it('leaves to others only what it held and had not delivered', () => {
    const run = new Run();
    run.ready(0, 1);
    run.begin({ shards: 8, present: 7, id: 2 });
    run.partial(1, 4, 6, 2);
    run.partial(0, 0, 4, 2);
    expect(run.step({ type: 'left', worker: 1, reason: 'killed' })).toEqual([
      { type: 'recompute', shards: 1 },
      compute(0, 6, 7, 2),
    ]);
    expect(run.partial(0, 6, 7, 2)).toEqual([accept(0, 6, 7), { type: 'complete', roundId: 2 }]);
  });

  it('leaves them to a busy worker as soon as that one is done', () => {
    const run = new Run();
    run.ready(0, 1);
    run.begin({ id: 2 });
    expect(run.step({ type: 'left', worker: 1, reason: 'killed' })).toEqual([
      { type: 'recompute', shards: 2 },
    ]);
    expect(run.partial(0, 0, 2, 2)).toEqual([accept(0, 0, 2), compute(0, 2, 4, 2)]);
  });

  it('leaves them to all idle workers evenly', () => {
    const run = new Run();
    run.ready(0, 1, 2);
    run.begin({ id: 3, shards: 8, present: 6 });
    run.partial(0, 0, 2, 3);
    run.partial(1, 2, 4, 3);
    const effects = run.step({ type: 'left', worker: 2, reason: 'killed' });
    expect(effects).toHaveLength(3);
    expect(effects).toContainEqual(expect.objectContaining({ worker: 0, range: { lo: 4, hi: 5 } }));
    expect(effects).toContainEqual(expect.objectContaining({ worker: 1, range: { lo: 5, hi: 6 } }));
  });

  it('costs nothing if it had delivered everything', () => {
    const run = new Run();
    run.ready(0, 1);
    run.begin();
    run.partial(1, 2, 4);
    expect(run.step({ type: 'left', worker: 1, reason: 'killed' })).toEqual([]);
    expect(run.partial(0, 0, 2)).toContainEqual({ type: 'complete', roundId: 1 });
  });

  it('has no say any more, and being lost twice is being lost once', () => {
    const run = new Run();
    run.ready(0, 1);
    run.begin();
    run.step({ type: 'left', worker: 1, reason: 'killed' });
    const before = run.state;
    expect(run.partial(1, 2, 4)).toEqual([]);
    expect(run.step({ type: 'left', worker: 1, reason: 'again' })).toEqual([]);
    expect(run.step({ type: 'heard', worker: 1 })).toEqual([]);
    expect(run.answerSetup(1)).toEqual([]);
    expect(run.state).toEqual(before);
  });

  it('is replaced at once when silence costs it its place', () => {
    const run = new Run();
    run.ready(0, 1);
    run.begin();
    run.partial(0, 0, 2);
    expect(run.wait(10_000, [0])).toEqual([
      { type: 'evict', worker: 1, reason: 'silent for 10.0 s' },
      { type: 'recompute', shards: 2 },
      compute(0, 2, 4),
    ]);
  });

  it('does not pass its shards through others that are lost in the same moment', () => {
    const run = new Run();
    run.ready(0, 1, 2, 3, 4);
    run.begin({ shards: 1, present: 1 });
    // A switch fails: five workers fall silent together. Shard 0 was held by one of them.
    const effects = run.wait(10_000);
    expect(effects.filter(({ type }) => type === 'evict')).toHaveLength(5);
    expect(effects.filter(({ type }) => type === 'compute')).toEqual([]);
    expect(effects).toContainEqual({ type: 'recompute', shards: 1 });
    expect(run.state.phase).toBe('working');
  });
});

describe('a shard whose holders leave', () => {
  it.each([
    ['because they died ends the run', {}, 'stopped'],
    ['with a goodbye is not to blame for it', { saidGoodbye: true }, 'working'],
  ] as const)('%s', (_how, goodbye, phase) => {
    const run = new Run();
    run.ready(9);
    run.begin({ shards: 1, present: 1 });
    run.step({ type: 'left', worker: 9, reason: 'gone', ...goodbye });
    for (let worker = 0; worker < 9; worker++) {
      run.ready(worker);
      run.step({ type: 'left', worker, reason: 'gone', ...goodbye });
    }
    expect(run.state.phase).toBe(phase);
  });
});

describe('a partial', () => {
  it.each([
    ['of an earlier round', 0, { lo: 0, hi: 2 }, 1, 'stale_step'],
    ['of a round to come', 0, { lo: 0, hi: 2 }, 3, 'stale_step'],
    ['of shards that another worker holds', 0, { lo: 2, hi: 4 }, 2, 'not_assigned'],
    ['of more than the worker holds', 0, { lo: 0, hi: 4 }, 2, 'not_assigned'],
    ['that is no subtree', 1, { lo: 3, hi: 5 }, 2, 'not_assigned'],
    ['of shards that do not exist', 1, { lo: 4, hi: 8 }, 2, 'not_assigned'],
    ['of no shards', 0, { lo: 1, hi: 1 }, 2, 'not_assigned'],
    ['that goes backwards', 0, { lo: 2, hi: 0 }, 2, 'not_assigned'],
  ])('%s is rejected and changes nothing', (_what, worker, range, roundId, code) => {
    const run = new Run();
    run.ready(0, 1);
    run.begin({ id: 2, shards: 8, present: 5 });
    const before = run.state;
    expect(run.partial(worker, range.lo, range.hi, roundId)).toEqual([{ type: 'reject', worker, code }]);
    expect(run.state).toEqual(before);
  });

  it('that comes twice is accepted once', () => {
    const run = new Run();
    run.ready(0, 1);
    run.begin();
    run.partial(0, 0, 2);
    expect(run.partial(0, 0, 2)).toEqual([{ type: 'reject', worker: 0, code: 'not_assigned' }]);
    run.partial(1, 2, 4);
    expect(run.partial(1, 2, 4)).toEqual([{ type: 'reject', worker: 1, code: 'stale_step' }]);
    expect(run.effects.filter(({ type }) => type === 'complete')).toHaveLength(1);
  });

  it('shows that its worker is alive, whatever it is worth', () => {
    const run = new Run();
    run.ready(0);
    run.begin();
    run.wait(9_000);
    run.partial(0, 0, 1, 99);
    expect(run.wait(9_000)).toEqual([]);
  });
});

describe('what a run waits for', () => {
  it('is nothing between rounds', () => {
    const run = new Run();
    expect(waitingFor(run.state, 0, limits)).toBeNull();
  });

  it('is a worker, while none is ready', () => {
    const run = new Run();
    run.begin();
    run.step({ type: 'preparing', worker: 0 });
    run.nowMs += 4_100;
    expect(waitingFor(run.state, run.nowMs, limits)).toBe(
      'waiting for a worker to be ready (1 preparing, 4.1 s)',
    );
  });

  it('is the worker and the shard that is missing', () => {
    const run = new Run();
    run.ready(0, 3);
    run.begin({ id: 812 });
    run.partial(0, 0, 2, 812);
    run.nowMs += 4_100;
    expect(waitingFor(run.state, run.nowMs, limits)).toBe(
      'waiting for worker 3: shards 2 to 3 of step 812 for 4.1 s; another worker computes it as well in 125.9 s',
    );
  });
});
