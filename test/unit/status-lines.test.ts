import { expect, it } from 'vitest';
import { statusLines } from '../../cli/status-lines.js';
import type { RunStatus } from '../../shared/protocol/observing.js';

const counts = { shardsRecomputed: 2, shardsDuplicated: 1, shardsAudited: 0, disagreements: 1 };
const idle = {
  host: 'left',
  pid: 11,
  computes: null,
  shardsComputed: 6,
  computeMs: 900,
  networkMs: 40,
  idleMs: 60,
};

it('shows what, why, who holds what, who does what, in this order', () => {
  const status: RunStatus = {
    phase: 'working',
    round: {
      ...{ id: 9, kind: 'train', step: 811, forMs: 4_100 },
      shards: [
        { shard: 0, status: 'done', holders: [] },
        { shard: 1, status: 'assigned', holders: [{ worker: 3, forMs: 4_000 }] },
        { shard: 2, status: 'unconfirmed', holders: [{ worker: 1, forMs: 250 }] },
        { shard: 3, status: 'pending', holders: [] },
      ],
    },
    waitingFor:
      'waiting for worker 3: shard 1 of step 812 for 4.0 s; another worker computes it as well in 2.0 s',
    stopped: null,
    workers: [
      { ...idle, worker: 1, phase: 'ready', forMs: 60_000, lastHeardMs: 100 },
      {
        ...{ ...idle, worker: 3, phase: 'ready', forMs: 60_000, lastHeardMs: 2_000 },
        computes: {
          ...{ kind: 'train', step: 811, lo: 1, hi: 2 },
          ...{ forMs: 4_000, deadlineInMs: 2_000, lostInMs: 28_000 },
        },
      },
    ],
    ...counts,
    excluded: [{ worker: 2, host: 'right', step: 699, shard: 1 }],
  };
  expect(statusLines(status)).toEqual([
    'step 812: 1 of 4 shards done, for 4.1 s',
    status.waitingFor,
    '  shard 1: held by worker 3 for 4.0 s',
    '  shard 2: to be confirmed by worker 1 for 250 ms',
    '  shard 3: pending, held by nobody',
    '',
    'worker  host  pid  compute  network  idle   shards  heard       now',
    '1       left  11   900 ms   40 ms    60 ms  6       100 ms ago  ready for 60.0 s',
    '3       left  11   900 ms   40 ms    60 ms  6       2.0 s ago   shard 1 for 4.0 s',
    '',
    '2 shards computed again, 1 by two to be sooner, 0 to compare; 1 disagreement',
    'worker 2 on right is excluded: its bits of shard 1 of step 700 were wrong',
  ]);
});

it('says why a run has stopped', () => {
  const status = {
    phase: 'stopped',
    round: null,
    waitingFor: null,
    stopped: 'no worker is left',
    workers: [],
  } as const;
  expect(statusLines({ ...status, ...counts, excluded: [] }).slice(0, 2)).toEqual([
    'stopped',
    'because no worker is left',
  ]);
});
