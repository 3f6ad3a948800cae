import { once } from 'node:events';
import { closeSync, constants, openSync, readFileSync } from 'node:fs';
import type { Server } from 'node:http';
import { describe, expect, it } from 'vitest';
import { unnamedFile } from '../../coordinator/memory-files.js';
import { bind, privateSocketPath } from '../../coordinator/server/bind.js';
import { createSocketServer } from '../../coordinator/server/socket-server.js';
import { Random } from '../../shared/random.js';
import { type Connection, type ConnectionLimits, peerLimits } from '../../shared/transport/connection.js';
import { createMemoryPair } from '../../shared/transport/memory.js';
import { SharedMemory } from '../../shared/transport/shared-memory.js';
import type { WebSocketConnection } from '../../shared/transport/websocket.js';
import { openWebSocket } from '../../shared/transport/websocket-client.js';

interface Pair {
  readonly ends: readonly [Connection, Connection];
  /** Frees what the pair needed; resolves only when nothing is left open. */
  release(): Promise<void>;
}

type Connect = (limits: ConnectionLimits) => Promise<Pair>;

/** What every transport must do. */
function describeTransport(name: string, connect: Connect): void {
  describe(name, () => {
    const withPair = async (
      run: (a: Connection, b: Connection) => Promise<void>,
      limits: ConnectionLimits = peerLimits,
    ): Promise<void> => {
      const { ends, release } = await connect(limits);
      try {
        await run(ends[0], ends[1]);
      } finally {
        for (const end of ends) end.close('goodbye');
        await Promise.all(ends.map((end) => end.closed));
        await release();
      }
    };

    it('keeps the order of frames, in both directions at once', () =>
      withPair(async (a, b) => {
        const sent = Array.from({ length: 200 }, (_, i) => i);
        const [atA, atB] = [received(a, 200), received(b, 200)];
        for (const number of sent) {
          a.send({ number }, number % 3 === 0 ? [new Uint8Array(number * 100)] : []);
          b.send({ number: 1_000 + number });
        }
        expect((await atB).map(({ body }) => body)).toEqual(sent.map((number) => ({ number })));
        expect((await atA).map(({ body }) => body)).toEqual(
          sent.map((number) => ({ number: 1_000 + number })),
        );
        expect((await atB).map(({ payload }) => payload.byteLength)).toEqual(
          sent.map((number) => (number % 3 === 0 ? number * 100 : 0)),
        );
      }));

    it('carries 20 MB bit for bit, aligned and alone in their buffer', () =>
      withPair(async (a, b) => {
        const random = new Random(7);
        const words = Uint32Array.from({ length: 5_000_001 }, () => random.uint32());
        const whole = new Uint8Array(words.buffer);
        const arrived = received(b, 2);
        a.send({ of: 'small' }, [whole.subarray(3, 8)]);
        a.send({ of: 'large' }, [whole.subarray(0, 12_345), whole.subarray(12_345)]);
        const [small, large] = await arrived;
        expect(Buffer.compare(small.payload, whole.subarray(3, 8))).toBe(0);
        expect(Buffer.compare(large.payload, whole)).toBe(0);
        for (const { payload } of [small, large]) {
          expect(payload.byteOffset).toBe(0);
          expect(payload.buffer.byteLength).toBe(payload.byteLength);
        }
      }));

    it('gives the payload back to the sender when it no longer reads it', () =>
      withPair(async (a, b) => {
        const arrived = received(b, 1);
        const payload = new Uint8Array(3_000_000).fill(9);
        await new Promise<void>((resolve) => a.send({}, [payload], resolve));
        payload.fill(1);
        const [frame] = await arrived;
        expect(frame.payload.every((byte) => byte === 9)).toBe(true);
      }));

    it('keeps early frames for whoever listens first', () =>
      withPair(async (a, b) => {
        for (let number = 0; number < 10; number++) a.send({ number });
        await new Promise((resolve) => setTimeout(resolve, 30));
        const frames = await received(b, 10);
        expect(frames.map(({ body }) => body)).toEqual(
          Array.from({ length: 10 }, (_, number) => ({ number })),
        );
      }));

    it('delivers what was sent before a close, then tells both ends why', () =>
      withPair(async (a, b) => {
        const arrived = received(b, 1);
        a.send({ last: true }, [new Uint8Array(2_000_000)]);
        a.close('manifest_mismatch', 'the kernel of dense_1 has another shape');
        expect((await arrived)[0].body).toEqual({ last: true });
        const reason = 'the kernel of dense_1 has another shape';
        expect(await a.closed).toEqual({ code: 'manifest_mismatch', reason, by: 'us' });
        expect(await b.closed).toEqual({ code: 'manifest_mismatch', reason, by: 'peer' });
      }));

    it('says at once that it hears nothing more, and waits for the other end only to have closed', () =>
      withPair(async (a, b) => {
        let isClosed = false;
        void a.closed.then(() => {
          isClosed = true;
        });
        a.close('invalid_message', 'no such shard');
        expect(await a.ending).toEqual({ code: 'invalid_message', reason: 'no such shard', by: 'us' });
        expect(isClosed).toBe(false);
        expect(await a.closed).toEqual(await a.ending);
        expect(await b.ending).toEqual(await b.closed);
      }));

    it('does nothing when sending on a closed connection, and still releases the payload', () =>
      withPair(async (a, b) => {
        b.close('goodbye');
        await Promise.all([a.closed, b.closed]);
        await new Promise<void>((resolve) => a.send({}, [new Uint8Array(10)], resolve));
        a.close('failed');
        expect((await a.closed).code).toBe('goodbye');
        expect(a.bufferedBytes).toBe(0);
      }));

    it('closes instead of buffering without end for a peer that does not read', () =>
      withPair(
        async (a) => {
          let sent = 0;
          while (sent < 64 && a.bufferedBytes <= 8_000_000) {
            a.send({}, [new Uint8Array(4_000_000)]);
            sent += 1;
          }
          expect(sent).toBeLessThan(64);
          const before = a.bufferedBytes;
          a.send({}, [new Uint8Array(4_000_000)]);
          expect(a.bufferedBytes).toBeLessThanOrEqual(before);
          expect(await a.closed).toMatchObject({ code: 'unread', by: 'us' });
        },
        { ...peerLimits, maxBufferedBytes: 8_000_000 },
      ));

    it('refuses a payload above the limit before it arrives, with a reason', () =>
      withPair(
        async (a, b) => {
          const arrived: unknown[] = [];
          b.onMessage((body) => arrived.push(body));
          a.send({ size: 'allowed' }, [new Uint8Array(1_000)]);
          a.send({ size: 'too large' }, [new Uint8Array(1_001)]);
          a.send({ size: 'never seen' });
          expect(await b.closed).toMatchObject({ code: 'oversize', by: 'us' });
          expect(await a.closed).toMatchObject({ code: 'oversize', by: 'peer' });
          expect(arrived).toEqual([{ size: 'allowed' }]);
        },
        { ...peerLimits, maxPayloadBytes: 1_000 },
      ));

    it('refuses a header above the limit', () =>
      withPair(
        async (a, b) => {
          a.send({ text: 'x'.repeat(1_000) });
          expect(await b.closed).toMatchObject({ code: 'oversize', by: 'us' });
        },
        { ...peerLimits, maxHeaderBytes: 500 },
      ));

    it('bounds what a stranger can send in all', () =>
      withPair(
        async (a, b) => {
          b.onMessage(() => undefined);
          for (let i = 0; i < 100; i++) a.send({ text: 'x'.repeat(1_000) });
          expect((await b.closed).code).toBe('oversize');
        },
        { ...peerLimits, maxReceivedBytes: 20_000 },
      ));

    it('accepts more once the limits are widened', () =>
      withPair(
        async (a, b) => {
          b.setLimits(peerLimits);
          const arrived = received(b, 1);
          a.send({}, [new Uint8Array(100_000)]);
          expect((await arrived)[0].payload.byteLength).toBe(100_000);
        },
        { ...peerLimits, maxPayloadBytes: 10, maxReceivedBytes: 1_000 },
      ));
  });
}

function received(connection: Connection, frames: number): Promise<{ body: unknown; payload: Uint8Array }[]> {
  return new Promise((resolve) => {
    const arrived: { body: unknown; payload: Uint8Array }[] = [];
    connection.onMessage((body, payload) => {
      arrived.push({ body, payload });
      if (arrived.length === frames) resolve(arrived);
    });
  });
}

const pem = (file: string): string =>
  readFileSync(new URL(`../fixtures/tls/${file}`, import.meta.url), 'utf8');

/** @param share gives both ends memory that they share */
function overWebSocket(
  address: { unix: string } | { host: string; port: number },
  secure: boolean,
  share: (ends: readonly [WebSocketConnection, WebSocketConnection]) => () => void = () => () => undefined,
): Connect {
  return async (limits) => {
    let accept: (connection: WebSocketConnection) => void = () => undefined;
    const accepted = new Promise<WebSocketConnection>((resolve) => {
      accept = resolve;
    });
    const server: Server = createSocketServer({
      tls: secure ? { cert: pem('cert.pem'), key: pem('key.pem') } : null,
      maxConnections: 10,
      openingTimeoutMs: 5_000,
      admit: () => true,
      onConnection: (connection) => {
        connection.setLimits(limits);
        accept(connection);
      },
    });
    const binding = await bind(server, address, secure ? 'wss' : 'ws');
    const ca = secure ? pem('cert.pem') : undefined;
    const client = await openWebSocket({ url: binding.url, timeoutMs: 5_000, limits, ca });
    const ends = [client, await accepted] as const;
    const close = share(ends);
    return {
      ends,
      release: async () => {
        close();
        server.close();
        await once(server, 'close');
        await binding.release();
      },
    };
  };
}

/** As a coordinator and a worker of its own share it, but for the processes. @param path of both files */
function withMemory(path: string) {
  return ([worker, coordinator]: readonly [WebSocketConnection, WebSocketConnection]): (() => void) => {
    const flags = path === '/dev/shm' ? unnamedFile | constants.O_RDWR : constants.O_RDWR;
    const [there, back] = [1, 2].map(() => openSync(path, flags, 0o600));
    const memories = [
      new SharedMemory({ incoming: back, outgoing: there }),
      new SharedMemory({ incoming: there, outgoing: back }),
    ];
    coordinator.share(memories[0].lineFor({ begins: true }));
    worker.share(memories[1].lineFor({ begins: true }));
    return () => {
      for (const memory of memories) memory.close();
      for (const descriptor of [there, back]) closeSync(descriptor);
    };
  };
}

const loopback = { host: '127.0.0.1', port: 0 };

describeTransport('in memory', async (limits) => {
  const { ends } = createMemoryPair({ limits });
  return { ends, release: async () => undefined };
});
describeTransport('in memory, deliveries in random order', async (limits) => {
  const random = new Random(3);
  const { ends } = createMemoryPair({
    limits,
    schedule: (deliver) => void setTimeout(deliver, random.below(3)),
  });
  return { ends, release: async () => undefined };
});
describeTransport('WebSocket over TCP', overWebSocket(loopback, false));
describeTransport('WebSocket over TLS', overWebSocket(loopback, true));
describeTransport('WebSocket over a Unix socket', (limits) =>
  overWebSocket({ unix: privateSocketPath() }, false)(limits),
);
if (process.platform === 'linux') {
  describeTransport('WebSocket over a Unix socket, payloads in memory', (limits) =>
    overWebSocket({ unix: privateSocketPath() }, false, withMemory('/dev/shm'))(limits),
  );
  describeTransport('WebSocket over a Unix socket, payloads in memory that is full', (limits) =>
    overWebSocket({ unix: privateSocketPath() }, false, withMemory('/dev/full'))(limits),
  );
}
