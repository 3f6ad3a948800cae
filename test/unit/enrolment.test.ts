import { describe, expect, it } from 'vitest';
import type { RunInput } from '../../coordinator/core/run.js';
import { Enrolment } from '../../coordinator/enrolment.js';
import { type ExcludedWorker, FaultCounts } from '../../coordinator/fault-counts.js';
import type { ProgramSetup } from '../../coordinator/round.js';
import { RemoteWorker } from '../../coordinator/server/remote-worker.js';
import { Roster } from '../../coordinator/server/roster.js';
import { coordinatorSession } from '../../shared/protocol/session.js';
import type { ToCoordinatorOf } from '../../shared/protocol/to-coordinator.js';
import { createMemoryPair } from '../../shared/transport/memory.js';
import { cpuFingerprint } from '../../worker/backend/fingerprint.js';
import { VirtualClock } from '../simulation/virtual-clock.js';

const manifestHash = 'a'.repeat(64);
const ready: ToCoordinatorOf<'ready'> = {
  ...{ type: 'ready', manifestHash, fingerprint: cpuFingerprint(), threads: 1, pid: 1, host: 'left' },
  canary: null,
  fallback: null,
};
const setup: ProgramSetup = {
  message: {
    program: { topology: {}, frozenLayers: [], outputs: [], metrics: [], seed: 0 },
    ...{ manifestHash, backend: 'cpu', threads: 1, jobSha256: null, heartbeatMs: 1_000, canary: null },
  },
  resultShape: {
    ...{ trainableSize: 1, variables: 1, sums: 1, scores: 0, channels: [], outputs: 1, outputElements: [1] },
  },
  reference: null,
};

function remoteOf(worker: number): RemoteWorker {
  const identity = { run: 'r', term: 1, worker, incarnation: worker };
  return new RemoteWorker(coordinatorSession(createMemoryPair().ends[0], identity));
}

function enrolmentOf(excluded?: ExcludedWorker) {
  const inputs: RunInput[] = [];
  const warnings: string[] = [];
  const refused: [number, string][] = [];
  const enrolment = new Enrolment({
    clock: new VirtualClock(),
    othersMayCome: true,
    onEvent: (event) => event.type === 'warning' && warnings.push(event.message),
    post: (input) => inputs.push(input),
    readyCount: () => 1,
    refuse: ({ worker }, code) => refused.push([worker, code]),
    stop: () => {},
    excludedFrom: (host) => (excluded?.host === host ? excluded : undefined),
  });
  enrolment.begin(setup);
  return { enrolment, inputs, warnings, refused };
}

describe('a worker that says it is ready', () => {
  it('is taken at its word once for each program; unasked it changes nothing, and ends by being refused', () => {
    const { enrolment, inputs, refused } = enrolmentOf();
    const remote = remoteOf(3);
    enrolment.prepare(remote);
    for (let i = 0; i < 64; i++) enrolment.admit(remote, ready);
    expect(inputs.map(({ type }) => type)).toEqual(['preparing', 'ready']);
    expect(refused).toEqual([]);
    enrolment.admit(remote, ready);
    expect(refused).toEqual([[3, 'out_of_order']]);
  });

  it('from where another computed wrong numbers is admitted, and people are told, once', () => {
    const { enrolment, inputs, warnings } = enrolmentOf({ worker: 1, host: 'left', step: 4, shard: 2 });
    const remote = remoteOf(3);
    for (let program = 0; program < 2; program++) {
      enrolment.prepare(remote);
      enrolment.admit(remote, ready);
    }
    const elsewhere = remoteOf(4);
    enrolment.prepare(elsewhere);
    enrolment.admit(elsewhere, { ...ready, host: 'right' });
    expect(inputs.filter(({ type }) => type === 'ready')).toHaveLength(3);
    expect(warnings).toEqual([
      'worker 3 joins from left, where worker 1 computed wrong numbers (shard 2 of step 5); only an audit would find that again',
    ]);
  });
});

describe('what is remembered of workers that come and go for weeks', () => {
  it('is bounded, and their shards are counted all the same', () => {
    const roster = new Roster(new VirtualClock());
    for (let worker = 0; worker < 1_200; worker++) {
      const remote = remoteOf(worker);
      roster.add(remote);
      remote.prepare(setup, 'cpu');
      remote.answer();
      remote.admit(ready, 0);
      remote.credit({ lo: 0, hi: 2 }, 1, 1);
      if (worker < 1_199) roster.remove(remote);
    }
    expect(roster.tallies()).toHaveLength(1_001);
    expect(roster.tallies()[0].row.worker).toBe(199);
    expect(roster.shardsComputed).toBe(2_400);
  });

  it('is bounded for those that computed wrong numbers, too', () => {
    const counts = new FaultCounts();
    for (let worker = 0; worker < 150; worker++) counts.exclude({ worker, host: 'h', step: 0, shard: 0 });
    expect(counts.workersExcluded).toBe(150);
    expect(counts.excluded.map(({ worker }) => worker)).toEqual(
      Array.from({ length: 100 }, (_, i) => i + 50),
    );
  });
});
