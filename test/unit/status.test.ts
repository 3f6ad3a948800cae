import { describe, expect, it } from 'vitest';
import { FaultCounts } from '../../coordinator/fault-counts.js';
import { type ClusterStatus, statusOf } from '../../coordinator/status.js';
import { limits, Run } from './core-run.js';

function statusOfRun(run: Run, outside: string | null = null): ClusterStatus {
  const row = { worker: 0, host: 'h', pid: 7, backend: 'cpu', device: null, threads: 1 };
  const hours = { computeMs: 5, networkMs: 6, idleMs: 7 };
  const tallies = [{ row, shardsComputed: 3, hours, lost: null }];
  const sources = { state: run.state, limits, tallies, counts: new FaultCounts(), outside };
  const status = statusOf(sources, run.nowMs);
  // Plain JSON: nothing is lost on the way to another process.
  expect(JSON.parse(JSON.stringify(status))).toEqual(status);
  return status;
}

describe('the status of a cluster', () => {
  it('says who computes which shard for how long, and what happens when', () => {
    const run = new Run();
    run.ready(0, 1);
    run.begin({ id: 2, shards: 4, present: 3 });
    run.nowMs += 300;
    run.partial(1, 2, 3, 2);
    run.nowMs += 700;
    const status = statusOfRun(run);
    expect(status).toMatchObject({
      phase: 'working',
      stopped: null,
      round: {
        kind: 'train',
        step: 1,
        forMs: 1_000,
        shards: [
          { shard: 0, status: 'assigned', holders: [{ worker: 0, forMs: 1_000 }] },
          { shard: 1, status: 'assigned', holders: [{ worker: 0, forMs: 1_000 }] },
          { shard: 2, status: 'done', holders: [] },
        ],
      },
    });
    expect(status.waitingFor).toMatch(/^waiting for worker 0: shards 0 to 1 of step 2 for 1.0 s; another /);
    const [first, second] = status.workers;
    expect(first).toMatchObject({ worker: 0, pid: 7, phase: 'ready', shardsComputed: 3, idleMs: 7 });
    expect(first.computes).toMatchObject({ lo: 0, hi: 2, forMs: 1_000, deadlineInMs: 129_000 });
    expect(second).toMatchObject({ worker: 1, pid: null, computes: null, lastHeardMs: 700 });
  });

  it('is as plain between rounds and after a stop', () => {
    const run = new Run();
    expect(statusOfRun(run)).toMatchObject({ phase: 'idle', round: null, waitingFor: null, workers: [] });
    expect(statusOfRun(run, 'waiting for the data of step 3, 1.0 s').waitingFor).toBe(
      'waiting for the data of step 3, 1.0 s',
    );
    run.step({ type: 'stop', cause: { code: 'NO_WORKERS', message: 'all are gone', hint: 'h' } });
    expect(statusOfRun(run)).toMatchObject({ phase: 'stopped', stopped: 'all are gone', workers: [] });
  });
});
