import * as tf from '@tensorflow/tfjs';
import { beforeAll, describe, expect, it } from 'vitest';
import { toCoordinator } from '../../shared/protocol/to-coordinator.js';
import { ShardComputer } from '../../worker/compute/shard-computer.js';
import type { FromThread } from '../../worker/thread-messages.js';

beforeAll(async () => {
  await tf.setBackend('cpu');
});

describe('the shard computer', () => {
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
      },
    });
    expect(sent).toMatchObject([{ type: 'failed', round: null, code: 'MODEL_UNSUPPORTED' }]);
    expect(toCoordinator.safeParse(sent[0]).error).toBeUndefined();
    expect(toCoordinator.parse(sent[0])).toMatchObject({ message: expect.stringContaining('Unknown layer') });
  });
});
