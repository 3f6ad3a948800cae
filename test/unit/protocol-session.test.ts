import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { coordinatorSession, workerSession } from '../../shared/protocol/session.js';
import type { ToCoordinator } from '../../shared/protocol/to-coordinator.js';
import type { ToWorker } from '../../shared/protocol/to-worker.js';
import { createMemoryPair } from '../../shared/transport/memory.js';

const identity = { run: 'run-1', term: 1, worker: 0, incarnation: 4 };

/** A coordinator's session, a worker's session and the raw connection under the latter. */
function pair() {
  const { ends, breakLine } = createMemoryPair();
  const atCoordinator: [ToCoordinator, Uint8Array][] = [];
  const coordinator = coordinatorSession(ends[0], identity);
  coordinator.onMessage((message, payload) => atCoordinator.push([message, payload]));
  return { coordinator, atCoordinator, wire: ends[1], breakLine };
}

/** The pair delivers in the next turn of the event loop; what a delivery causes, in the one after. */
const settled = async (): Promise<void> => {
  for (let turn = 0; turn < 8; turn++) await new Promise((resolve) => setImmediate(resolve));
};

const heartbeat: ToCoordinator = { type: 'heartbeat', state: { phase: 'idle' } };
const enveloped = (message: unknown) => ({ run: 'run-1', term: 1, incarnation: 4, message });

describe('a session', () => {
  it('passes messages and payloads both ways', async () => {
    const { coordinator, atCoordinator, wire } = pair();
    const worker = workerSession(wire, identity);
    const atWorker: [ToWorker, Uint8Array][] = [];
    worker.send(heartbeat);
    coordinator.send({ type: 'weights', version: 3 }, [new Uint8Array(Float32Array.of(1, 2).buffer)]);
    coordinator.send({ type: 'cancel', round: 9 });
    await settled();
    worker.onMessage((message, payload) => atWorker.push([message, payload]));
    expect(atCoordinator.map(([message]) => message)).toEqual([heartbeat]);
    expect(atWorker.map(([message]) => message)).toEqual([
      { type: 'weights', version: 3 },
      { type: 'cancel', round: 9 },
    ]);
    expect([...new Float32Array(atWorker[0][1].buffer as ArrayBuffer)]).toEqual([1, 2]);
  });

  it.each([
    ['wrong_run', { run: 'run-2' }],
    ['stale_term', { term: 0 }],
    ['stale_incarnation', { incarnation: 3 }],
  ])('rejects a message with %s, tells the worker, and stays open', async (code, change) => {
    const { atCoordinator, wire } = pair();
    const answers: unknown[] = [];
    wire.onMessage((body) => answers.push((body as { message: unknown }).message));
    wire.send({ ...enveloped(heartbeat), ...change });
    wire.send(enveloped(heartbeat));
    await settled();
    expect(atCoordinator.map(([message]) => message)).toEqual([heartbeat]);
    expect(answers).toMatchObject([{ type: 'rejected', code }]);
  });

  it('closes a peer that goes on sending stale messages', async () => {
    const { coordinator, wire } = pair();
    for (let i = 0; i < 100; i++) wire.send({ ...enveloped(heartbeat), term: 0 });
    expect(await coordinator.closed).toMatchObject({ code: 'stale_term', by: 'us' });
  });

  it('closes a coordinator that speaks for another term', async () => {
    const { ends } = createMemoryPair();
    const worker = workerSession(ends[1], identity);
    ends[0].send({ ...enveloped({ type: 'heartbeat' }), term: 2 });
    expect(await worker.closed).toMatchObject({ code: 'stale_term', by: 'us' });
  });

  it('closes with a reason when a payload does not fit its message', async () => {
    const { coordinator, atCoordinator, wire } = pair();
    const sections = { gradient: 2, sums: 0, moments: [], scores: [] };
    const partial = { type: 'partial', round: 0, lo: 0, hi: 1, computeMs: 1, sections, digests: [] };
    wire.send(enveloped(partial), [new Uint8Array(8)]);
    wire.send(enveloped(partial), [new Uint8Array(16)]);
    expect(await coordinator.closed).toMatchObject({ code: 'invalid_message', by: 'us' });
    expect(atCoordinator).toHaveLength(1);
  });

  it('passes nothing on after a message that is not valid, and throws at nobody', async () => {
    await fc.assert(
      fc.asyncProperty(fc.oneof(fc.jsonValue(), fc.jsonValue().map(enveloped)), async (value) => {
        const { coordinator, atCoordinator, wire } = pair();
        wire.send({ value });
        wire.send(typeof value === 'object' && value !== null ? value : { value });
        wire.send(enveloped(heartbeat));
        expect(await coordinator.closed).toMatchObject({ code: 'invalid_message', by: 'us' });
        expect(atCoordinator).toHaveLength(0);
      }),
      { numRuns: 50 },
    );
  });

  it('keeps a peer from flooding a log with its own words', async () => {
    const { coordinator, wire } = pair();
    wire.send(enveloped({ ...heartbeat, ['x'.repeat(100_000)]: 1 }));
    const { reason } = await coordinator.closed;
    expect(reason.length).toBeLessThan(400);
  });

  it('holds a bounded number of messages for an owner that does not listen', async () => {
    const { ends } = createMemoryPair();
    const session = coordinatorSession(ends[0], identity);
    for (let i = 0; i < 500; i++) ends[1].send(enveloped(heartbeat));
    expect(await session.closed).toMatchObject({ code: 'out_of_order' });
  });

  it('tells both ends when the line breaks', async () => {
    const { coordinator, wire, breakLine } = pair();
    breakLine();
    expect(await coordinator.closed).toMatchObject({ code: 'lost', by: 'network' });
    expect(await wire.closed).toMatchObject({ code: 'lost', by: 'network' });
  });
});
