import * as tf from '@tensorflow/tfjs';
import { beforeAll, describe, expect, it } from 'vitest';
import { manifestOf } from '../../shared/manifest.js';
import type { ShardTask } from '../../shared/program.js';
import { toCoordinator } from '../../shared/protocol/to-coordinator.js';
import { cpuFingerprint } from '../../worker/backend/fingerprint.js';
import { ShardComputer } from '../../worker/compute/shard-computer.js';
import type { FromThread, ToThread } from '../../worker/thread-messages.js';
import { ThreadSignals } from '../../worker/thread-signals.js';
import { VirtualClock } from '../simulation/virtual-clock.js';

beforeAll(async () => {
  await tf.setBackend('cpu');
});

const setup: ToThread = {
  type: 'setup',
  jobPath: null,
  setup: {
    type: 'setup',
    program: { topology: {}, frozenLayers: [], outputs: [], metrics: [], seed: 0 },
    manifestHash: '0'.repeat(64),
    backend: 'cpu',
    threads: 1,
    jobSha256: null,
    heartbeatMs: 1_000,
    canary: null,
  },
};

const compute = (round: number): ToThread => ({
  type: 'compute',
  compute: {
    ...{ type: 'compute', round, kind: 'train', version: 0, step: 0, batchRows: 4, digest: false, shards: 4 },
    ...{ lo: 0, hi: 4 },
  },
});

const data = (round: number, shard: number): ToThread => {
  return { type: 'data', round, shard, data: { x: [], y: [], sampleWeights: [] } };
};

/** A computer of shards that are computed at once; `onShard` is called within each. */
function computerOf(onShard: (shard: number) => void) {
  const sent: FromThread[] = [];
  const signals = new ThreadSignals();
  let built = 0;
  const none = { gradient: new Float32Array(0), sums: new Float64Array(0), moments: [], scores: [] };
  const computer = new ShardComputer(
    (message) => sent.push(message),
    {
      clock: new VirtualClock(),
      loadBackend: async () => ({ name: 'cpu', fingerprint: cpuFingerprint(), skipped: [] }),
      async createProgram() {
        built += 1;
        const train = async ({ shard }: ShardTask) => {
          onShard(shard);
          return none;
        };
        const program = {
          ...{ setWeights() {}, dispose() {}, train, evaluate: train, predict: async () => [] },
        };
        return { program, manifest: manifestOf(tf.sequential()), rows: { inputs: [], outputs: [] } };
      },
    },
    signals,
  );
  return { computer, signals, sent, built: () => built };
}

describe('the shard computer', () => {
  it('ends an order between two shards when a reset is on its way, and drops what else came before it', async () => {
    const computed: number[] = [];
    const scene = computerOf((shard) => {
      computed.push(shard);
      if (shard === 1 && computed.length === 2) scene.signals.announceReset();
    });
    const send = async (...messages: ToThread[]): Promise<void> => {
      for (const message of messages) await scene.computer.handle(message);
    };
    await send(setup, ...[0, 1, 2, 3].map((shard) => data(1, shard)), compute(1), data(2, 0), compute(2));
    expect(computed).toEqual([0, 1]);
    expect(scene.sent.some(({ type }) => type === 'partial' || type === 'failed')).toBe(false);
    scene.sent.length = 0;
    await send({ type: 'reset' });
    expect(scene.sent).toEqual([{ type: 'reset' }]);
    // The next connection's round 2 has nothing of the last one's data.
    await send(setup, ...[0, 1, 2, 3].map((shard) => data(2, shard)), compute(2));
    expect(computed).toEqual([0, 1, 0, 1, 2, 3]);
    expect(scene.sent.filter(({ type }) => type === 'partial')).toHaveLength(1);
    expect(scene.built()).toBe(1);
  });

  it('ends an order between two shards when its round is cancelled, and goes on with the next', async () => {
    const computed: number[] = [];
    const scene = computerOf((shard) => {
      computed.push(shard);
      if (computed.length === 2) scene.signals.cancel(1);
    });
    const all = [0, 1, 2, 3];
    const messages = [setup, ...all.map((shard) => data(1, shard)), compute(1)];
    for (const message of [...messages, ...all.map((shard) => data(2, shard)), compute(2)])
      await scene.computer.handle(message);
    expect(computed).toEqual([0, 1, ...all]);
    const answers = scene.sent.filter(({ type }) => type !== 'computing');
    expect(answers.map(({ type }) => type)).toEqual(['ready', 'finished', 'partial', 'finished']);
  });

  it('computes, after a reset, a round of the number that was cancelled before: another coordinator counts anew', async () => {
    const computed: number[] = [];
    const scene = computerOf((shard) => computed.push(shard));
    const send = async (...messages: ToThread[]): Promise<void> => {
      for (const message of messages) await scene.computer.handle(message);
    };
    await send(setup, data(3, 0));
    scene.signals.cancel(3);
    await send({ type: 'cancel', round: 3 });
    scene.signals.announceReset();
    await send({ type: 'reset' });
    await send(setup, ...[0, 1, 2, 3].map((shard) => data(3, shard)), compute(3));
    expect(computed).toEqual([0, 1, 2, 3]);
    expect(scene.sent.filter(({ type }) => type === 'partial')).toHaveLength(1);
  });

  it('finishes an order that fails: a worker that leaves once it is finished would never go', async () => {
    const scene = computerOf(() => {
      throw new Error('a device that is sick');
    });
    const messages = [setup, ...[0, 1, 2, 3].map((shard) => data(1, shard)), compute(1)];
    for (const message of messages) await scene.computer.handle(message);
    const answers = scene.sent.filter(({ type }) => type !== 'computing');
    expect(answers.map(({ type }) => type)).toEqual(['ready', 'failed', 'finished']);
    expect(answers[1]).toMatchObject({ order: { round: 1, lo: 0, hi: 4 }, shard: 0 });
    expect(answers.at(-1)).toEqual({ type: 'finished', order: { round: 1, lo: 0, hi: 4 } });
  });

  it('says what failed in words that the protocol lets through, however many there were', async () => {
    const sent: FromThread[] = [];
    const computer = new ShardComputer((message) => sent.push(message));
    const unknownLayer = { class_name: 'Unknown'.repeat(2_000), config: {} };
    await computer.handle({
      type: 'setup',
      jobPath: null,
      setup: {
        type: 'setup',
        program: {
          topology: { class_name: 'Sequential', config: { name: 'model', layers: [unknownLayer] } },
          frozenLayers: [],
          outputs: [],
          metrics: [],
          seed: 0,
        },
        manifestHash: '0'.repeat(64),
        backend: 'cpu',
        threads: 1,
        jobSha256: null,
        heartbeatMs: 1_000,
        canary: null,
      },
    });
    expect(sent).toMatchObject([{ type: 'failed', order: null, code: 'MODEL_UNSUPPORTED' }]);
    expect(toCoordinator.safeParse(sent[0]).error).toBeUndefined();
    expect(toCoordinator.parse(sent[0])).toMatchObject({ message: expect.stringContaining('Unknown layer') });
  });
});
