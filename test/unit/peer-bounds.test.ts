import { describe, expect, it } from 'vitest';
import { WebSocket } from 'ws';
import type { ResultShape } from '../../coordinator/server/incoming.js';
import { listen } from '../../coordinator/server/listener.js';
import { largestResult, PeerBounds } from '../../coordinator/server/peer-bounds.js';
import type { ShardPartial } from '../../shared/partial.js';
import { answer, type PeerHandshake } from '../../shared/protocol/auth.js';
import { encodeFrame, FrameDecoder } from '../../shared/protocol/frame.js';
import { encodePartial } from '../../shared/protocol/partial-payload.js';
import { type CoordinatorSession, coordinatorSession, workerSession } from '../../shared/protocol/session.js';
import { encodeTensors } from '../../shared/protocol/tensor-payload.js';
import { protocolVersion } from '../../shared/protocol/version.js';
import { peerLimits } from '../../shared/transport/connection.js';
import { createMemoryPair } from '../../shared/transport/memory.js';

const shape: ResultShape = {
  trainableSize: 101,
  variables: 3,
  sums: 5,
  scores: 2,
  channels: [4, 7],
  outputs: 2,
  outputElements: [3, 5],
};
const bytesOf = (payload: readonly Uint8Array[]) =>
  payload.reduce((sum, { byteLength }) => sum + byteLength, 0);

/** What the shards of `rows` rows give, with BatchNorm called so often. */
function partialOf(rows: number, sites: number): ShardPartial {
  return {
    gradient: new Float32Array(101),
    sums: new Float64Array(5),
    moments: Array.from({ length: sites }, () => ({
      batchNorm: 1,
      count: 2,
      mean: new Float64Array(7),
      m2: new Float64Array(7),
    })),
    scores: [new Float32Array(3 * 3 * rows), new Float32Array(3 * 5 * rows)],
  };
}

describe('the largest result', () => {
  it('of training holds every legal partial, and grows with the model alone but for its scores', () => {
    for (const rows of [1, 7, 64]) {
      const asked = { kind: 'train', rows, shards: 1, digest: false } as const;
      const { payloadBytes } = largestResult(shape, asked);
      expect(bytesOf(encodePartial(partialOf(rows, 10_000)).payload)).toBeLessThanOrEqual(payloadBytes);
      const without = largestResult({ ...shape, channels: [], scores: 0 }, asked);
      expect(without.payloadBytes).toBe(4 * 101 + 8 + 8 * 5);
    }
  });

  it('of a prediction is that of the rows asked for', () => {
    const tensors = [3, 5].map((elements) => ({
      dtype: 'float32' as const,
      shape: [9, elements],
      data: new Float32Array(9 * elements),
    }));
    const { payloadBytes } = largestResult(shape, { kind: 'predict', rows: 9, shards: 1, digest: false });
    const exact = bytesOf(encodeTensors(tensors).payload);
    expect(payloadBytes).toBeGreaterThanOrEqual(exact);
    expect(payloadBytes).toBeLessThanOrEqual(exact + 16);
  });

  it('has no gradient in an evaluation', () => {
    const asked = { kind: 'evaluate', rows: 1, shards: 1, digest: false } as const;
    expect(largestResult({ ...shape, scores: 0 }, asked).payloadBytes).toBe(40);
  });
});

describe('a worker', () => {
  const identity = { run: 'run', term: 1, worker: 0, incarnation: 0 };
  const sendsTrainingResult = async (ask: (bounds: PeerBounds) => void, gradient: number) => {
    const { ends } = createMemoryPair();
    const session = coordinatorSession(ends[0], identity);
    const worker = workerSession(ends[1], identity);
    ask(new PeerBounds(session));
    const heard = new Promise((resolve) => session.onMessage(resolve));
    const { sections, payload } = encodePartial({ ...partialOf(1, 0), gradient: new Float32Array(gradient) });
    worker.send({ type: 'partial', round: 1, lo: 0, hi: 1, computeMs: 1, sections, digests: [] }, payload);
    return Promise.race([heard.then(() => 'heard'), session.closed.then(({ code }) => code)]);
  };
  const asked = { kind: 'train', rows: 1, shards: 1, digest: false } as const;
  const small: ResultShape = { ...shape, channels: [] };

  it('sends no payload before it was asked for anything, and none that is larger than what it was asked for', async () => {
    expect(await sendsTrainingResult(() => {}, 101)).toBe('oversize');
    expect(await sendsTrainingResult((bounds) => bounds.asked(small, asked), 101)).toBe('heard');
    expect(await sendsTrainingResult((bounds) => bounds.asked(small, asked), 201)).toBe('oversize');
  });

  it('may still send what it was asked for before, until it has another program', async () => {
    const evaluated = { ...asked, kind: 'evaluate' } as const;
    const both = (bounds: PeerBounds) => {
      bounds.asked(small, asked);
      bounds.asked(small, evaluated);
    };
    expect(await sendsTrainingResult(both, 101)).toBe('heard');
    const reset = (bounds: PeerBounds) => {
      both(bounds);
      bounds.reset();
    };
    expect(await sendsTrainingResult(reset, 101)).toBe('oversize');
  });

  it('is closed when it leaves more unread than the weights and batches that it was sent can be', async () => {
    const { ends } = createMemoryPair({ schedule: () => {} });
    const session = coordinatorSession(ends[0], identity);
    const bounds = new PeerBounds(session);
    bounds.sends({ weightsBytes: 1_000_000, batchBytes: 1_000_000 });
    const weights = new Uint8Array(1_000_000);
    for (let version = 0; version < 100; version++) session.send({ type: 'weights', version }, [weights]);
    expect(session.bufferedBytes).toBeLessThan(6_000_000 + 16 * 2 ** 20 + 2_000_000);
    expect((await session.closed).code).toBe('unread');
  });

  it('cannot make the memory grow by reading nothing from a real socket', async () => {
    let session: CoordinatorSession | null = null;
    const token = 'a token of enough characters';
    const listener = await listen({
      ...{ address: { host: '127.0.0.1', port: 0 }, token, runId: 'run', term: 1 },
      warn: () => {},
      onPeer: (peer) => {
        session = peer.session;
      },
    });
    const socket = new WebSocket(listener.url);
    const decoder = new FrameDecoder(peerLimits);
    let handshake: PeerHandshake = {
      ...{ phase: 'connected', role: 'worker', token, protocol: protocolVersion },
      nonce: 'ab'.repeat(32),
    };
    socket.on('message', (piece: Buffer) => {
      const decoded = decoder.push(piece);
      const step = answer(handshake, decoded.status === 'frame' ? decoded.body : null);
      if (step.status === 'reply') {
        handshake = step.next;
        for (const bytes of encodeFrame(step.send)) socket.send(bytes);
      } else socket.pause();
    });
    await expect.poll(() => session).not.toBeNull();
    const worker = session as unknown as CoordinatorSession;
    const bounds = new PeerBounds(worker);
    bounds.sends({ weightsBytes: 2_000_000, batchBytes: 1_000_000 });
    const before = process.memoryUsage.rss();
    const released: number[] = [];
    for (let version = 0; version < 500; version++) {
      const weights = new Uint8Array(2_000_000).fill(version);
      worker.send({ type: 'weights', version }, [weights], () => void released.push(version));
      await new Promise(setImmediate);
    }
    expect((await worker.closed).code).toBe('unread');
    expect(released).toHaveLength(500);
    // A gigabyte was sent; of it 3 × 3 MB and 16 MB may wait, besides what the kernel takes.
    expect(process.memoryUsage.rss() - before).toBeLessThan(300e6);
    socket.terminate();
    await listener.close();
  });
});
