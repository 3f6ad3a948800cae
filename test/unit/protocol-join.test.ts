import { readFileSync } from 'node:fs';
import { connect as connectSocket, type Socket } from 'node:net';
import { describe, expect, it, onTestFinished } from 'vitest';
import { WebSocket } from 'ws';
import { bind, privateSocketPath } from '../../coordinator/server/bind.js';
import { createSocketServer } from '../../coordinator/server/socket-server.js';
import { strangerLimits } from '../../shared/transport/connection.js';
import { openWebSocket } from '../../shared/transport/websocket-client.js';
import { connect } from '../../worker/connect.js';
import { coordinator, token } from './listening-coordinator.js';

const pem = (file: string): string =>
  readFileSync(new URL(`../fixtures/tls/${file}`, import.meta.url), 'utf8');

const stranger = (url: string) => openWebSocket({ url, timeoutMs: 2_000, limits: strangerLimits });

describe('joining a run', () => {
  it.each([
    ['TCP', {}],
    ['TLS', { address: { host: 'localhost', port: 0 }, tls: { cert: pem('cert.pem'), key: pem('key.pem') } }],
    ['a Unix socket', { address: { unix: privateSocketPath() } }],
  ])('tells the worker its run, term, number and incarnation over %s', async (_, options) => {
    const { url, peers } = await coordinator(options);
    const first = await connect({ url, token, ca: pem('cert.pem') });
    const second = await connect({ url, token, ca: pem('cert.pem') });
    expect(first.identity).toEqual({ run: 'run-1', term: 7, worker: 0, incarnation: 0 });
    expect(second.identity).toEqual({ run: 'run-1', term: 7, worker: 1, incarnation: 1 });
    expect(peers.map(({ session }) => session.identity)).toEqual([first.identity, second.identity]);
    const heard = new Promise((resolve) => second.onMessage(resolve));
    peers[1].session.send({ type: 'cancel', round: 5 });
    expect(await heard).toEqual({ type: 'cancel', round: 5 });
    peers[0].session.close('goodbye');
    expect(await first.closed).toMatchObject({ code: 'goodbye', by: 'peer' });
  });

  it('keeps messages that follow the welcome at once', async () => {
    const { url } = await coordinator({
      onPeer: ({ session }) => {
        for (let round = 0; round < 5; round++) session.send({ type: 'cancel', round });
      },
    });
    const session = await connect({ url, token });
    await new Promise((resolve) => setTimeout(resolve, 20));
    const rounds: unknown[] = [];
    session.onMessage((message) => rounds.push(message));
    expect(rounds).toEqual([0, 1, 2, 3, 4].map((round) => ({ type: 'cancel', round })));
  });

  it('fails with AUTH_FAILED for another token, and is logged', async () => {
    const { url, peers, logged } = await coordinator();
    const error = await connect({ url, token: 'another token of enough characters' }).catch(
      (thrown) => thrown,
    );
    expect(error).toMatchObject({ code: 'AUTH_FAILED' });
    expect(error.hint).toContain('--token-file');
    expect(error.message).toContain('did not accept');
    expect(peers).toHaveLength(0);
    await expect
      .poll(() => logged)
      .toEqual([
        expect.stringMatching(/^turned away 127\.0\.0\.1:\d+ \(auth_failed\): You do not hold the token/),
      ]);
    expect(logged.join()).not.toContain(token);
  });

  it('fails with PROTOCOL_VERSION and names both versions', async () => {
    const { url } = await coordinator({ protocol: 3 });
    await expect(connect({ url, token, protocol: 2 })).rejects.toMatchObject({
      code: 'PROTOCOL_VERSION',
      message: 'The coordinator speaks version 3 of the protocol, the worker version 2.',
    });
  });

  it('fails with CONNECTION_LOST where nobody listens', async () => {
    const { listener, url } = await coordinator();
    await listener.close();
    await expect(connect({ url, token })).rejects.toMatchObject({ code: 'CONNECTION_LOST' });
    await expect(connect({ url: 'ws+unix:/nowhere/at/all.sock', token })).rejects.toMatchObject({
      code: 'CONNECTION_LOST',
    });
  });

  it.each(['http://localhost:1', 'localhost:1', 'ws+unix:relative.sock', ''])(
    'fails with BAD_OPTION for the URL "%s"',
    async (url) => {
      await expect(connect({ url, token })).rejects.toMatchObject({ code: 'BAD_OPTION' });
    },
  );

  it('fails with CONNECTION_LOST at a peer that says nothing', async () => {
    const server = createSocketServer({
      tls: null,
      maxConnections: 1,
      openingTimeoutMs: 5_000,
      admit: () => true,
      onConnection: () => undefined,
    });
    const { url } = await bind(server, { host: '127.0.0.1', port: 0 }, 'ws');
    onTestFinished(() => void server.close());
    await expect(connect({ url, token, timeoutMs: 100 })).rejects.toMatchObject({
      code: 'CONNECTION_LOST',
      message: expect.stringContaining('too long to authenticate'),
    });
  });

  it('fails with AUTH_FAILED at a coordinator that accepts anyone', async () => {
    const server = createSocketServer({
      tls: null,
      maxConnections: 1,
      openingTimeoutMs: 5_000,
      admit: () => true,
      onConnection: (connection) => {
        const proof = 'ab'.repeat(32);
        connection.onMessage(() =>
          connection.send({ type: 'welcome', run: 'run-1', term: 0, worker: 0, incarnation: 0, proof }),
        );
        connection.send({ type: 'hello', protocol: 1, nonce: proof });
      },
    });
    const { url } = await bind(server, { host: '127.0.0.1', port: 0 }, 'ws');
    onTestFinished(() => void server.close());
    await expect(connect({ url, token, protocol: 1 })).rejects.toMatchObject({
      code: 'AUTH_FAILED',
      message: expect.stringContaining('does not hold this token'),
    });
  });
});

describe('a stranger', () => {
  it('is closed after the deadline, whether it speaks HTTP, WebSocket or nothing', async () => {
    const { listener, url, logged } = await coordinator({ limits: { handshakeTimeoutMs: 500 } });
    const port = Number(new URL(url).port);
    const mute = connectSocket(port, '127.0.0.1');
    const slow = connectSocket(port, '127.0.0.1');
    slow.write('GET / HTTP/1.1\r\nHost: x\r\nX-Slow: ');
    const drip = setInterval(() => slow.write('a'), 20);
    onTestFinished(() => clearInterval(drip));
    const idle = await stranger(url);
    // Whoever is still writing when it is cut off may see a reset before the end.
    const ended = (socket: Socket) =>
      new Promise<void>((resolve) => socket.on('error', () => undefined).once('close', () => resolve()));
    await Promise.all([ended(mute), ended(slow)]);
    expect(await idle.closed).toMatchObject({ code: 'handshake_timeout', by: 'peer' });
    await expect.poll(() => listener.strangers).toBe(0);
    expect(logged).toHaveLength(3);
    for (const line of logged) expect(line).toContain('(handshake_timeout)');
  });

  it('cannot send more than the handshake needs', async () => {
    const { url } = await coordinator();
    const large = await stranger(url);
    large.send({ type: 'proof', text: 'x'.repeat(5_000) });
    expect(await large.closed).toMatchObject({ code: 'oversize', by: 'peer' });
    const withPayload = await stranger(url);
    withPayload.send({ type: 'proof' }, [new Uint8Array(1)]);
    expect(await withPayload.closed).toMatchObject({ code: 'oversize', by: 'peer' });
  });

  it('is closed at its first message that is not a proof', async () => {
    const { url, peers } = await coordinator();
    const rude = await stranger(url);
    rude.send({ type: 'setup' });
    expect(await rude.closed).toMatchObject({ code: 'invalid_message', by: 'peer' });
    expect(peers).toHaveLength(0);
  });

  it('finds no room among too many others, while workers go on', async () => {
    const { listener, url } = await coordinator({ limits: { maxStrangers: 3 } });
    const worker = await connect({ url, token });
    const waiting = await Promise.all([stranger(url), stranger(url), stranger(url)]);
    expect(listener.strangers).toBe(3);
    await expect(stranger(url)).rejects.toMatchObject({ code: 'CONNECTION_LOST' });
    for (const connection of waiting) connection.close('goodbye');
    await Promise.all(waiting.map(({ closed }) => closed));
    await expect.poll(() => listener.strangers).toBe(0);
    await connect({ url, token });
    worker.send({ type: 'goodbye', reason: 'done' });
  });

  it('is turned away unheard after too many failures', async () => {
    const { url } = await coordinator({ limits: { maxFailures: 3 } });
    const wrong = { url, token: 'another token of enough characters' };
    for (let i = 0; i < 3; i++) await expect(connect(wrong)).rejects.toMatchObject({ code: 'AUTH_FAILED' });
    await expect(connect({ url, token })).rejects.toThrow('Too many attempts');
  });

  it('gets 426 when it speaks plain HTTP', async () => {
    const { url, logged } = await coordinator();
    const response = await fetch(url.replace('ws:', 'http:'));
    expect(response.status).toBe(426);
    expect(await response.text()).toBe('');
    expect(logged).toEqual([expect.stringMatching(/\(no_websocket\): plain HTTP$/)]);
  });

  it('is refused when it is a web page that is not on the list', async () => {
    const { url, logged } = await coordinator({ allowedOrigins: ['https://good.example'] });
    const open = (origin: string) =>
      new Promise((resolve) => {
        const socket = new WebSocket(url, { origin });
        socket.once('error', ({ message }) => resolve(message));
        socket.once('message', () => {
          socket.close();
          resolve('hello');
        });
      });
    expect(await open('https://evil.example')).toContain('403');
    expect(await open('null')).toContain('403');
    expect(await open('https://good.example')).toBe('hello');
    expect(logged.filter((line) => line.includes('(origin_refused)'))).toHaveLength(2);
  });

  it('cannot keep others out alone', async () => {
    const { url, logged } = await coordinator({ limits: { maxStrangersPerAddress: 2 } });
    const waiting = await Promise.all([stranger(url), stranger(url)]);
    await expect(stranger(url)).rejects.toMatchObject({ code: 'CONNECTION_LOST' });
    expect(logged).toEqual([expect.stringContaining('(too_many_strangers): 2 others')]);
    for (const connection of waiting) connection.close('goodbye');
  });

  it('cannot connect again and again', async () => {
    const { url, logged } = await coordinator({ limits: { connectionsAtOnce: 3, connectionsPerSecond: 1 } });
    const opened = await Promise.allSettled(Array.from({ length: 8 }, () => stranger(url)));
    expect(opened.filter(({ status }) => status === 'fulfilled')).toHaveLength(3);
    expect(logged.filter((line) => line.includes('(too_many_connections)'))).toHaveLength(5);
  });

  it('cannot fill the log', async () => {
    const { listener, url, logged } = await coordinator();
    for (let i = 0; i < 30; i++) await fetch(url.replace('ws:', 'http:'));
    expect(logged).toHaveLength(10);
    await listener.close();
    expect(logged.slice(10)).toEqual([expect.stringMatching(/^turned away more: 20 × no_websocket; /)]);
  });
});
