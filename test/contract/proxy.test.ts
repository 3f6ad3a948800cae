import { once } from 'node:events';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { FaultProxy, type ProxiedConnection, type ProxyAddress } from '../../chaos/proxy.js';

let folder: string;
let server: Server;
let proxy: FaultProxy;
/** One connection through the proxy: both of its ends, and what the proxy holds of it. */
let worker: Socket;
let coordinator: Socket;
let link: ProxiedConnection;

const kinds = ['tcp', 'unix'] as const;

async function open(kind: (typeof kinds)[number]): Promise<void> {
  const free = { host: '127.0.0.1', port: 0 };
  const at = (name: string) => ({ path: join(folder, name) });
  server = createServer({ allowHalfOpen: true });
  server.listen(kind === 'tcp' ? free : at('coordinator'));
  await once(server, 'listening');
  const port = kind === 'tcp' ? (server.address() as AddressInfo).port : 0;
  const to: ProxyAddress = kind === 'tcp' ? { ...free, port } : { unix: at('coordinator').path };
  const listen: ProxyAddress = kind === 'tcp' ? free : { unix: at('proxy').path };
  proxy = await FaultProxy.listen({ listen, to, seed: 3 });
  const accepted = once(server, 'connection');
  const target = kind === 'tcp' ? { ...free, port: proxy.port ?? 0 } : at('proxy');
  worker = connect({ ...target, allowHalfOpen: true });
  [coordinator] = (await accepted) as [Socket];
  worker.on('error', () => {});
  coordinator.on('error', () => {});
  await expect.poll(() => proxy.connections.length).toBe(1);
  [link] = proxy.connections;
}

/** All that has come to a socket so far. */
function arrivals(socket: Socket): () => string {
  let text = '';
  socket.on('data', (bytes) => {
    text += bytes;
  });
  return () => text;
}

const aWhile = (ms = 50) => new Promise((resolve) => setTimeout(resolve, ms));
const closed = (socket: Socket) => new Promise<boolean>((resolve) => socket.once('close', resolve));

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'lockstep-test-'));
});
afterEach(async () => {
  worker.destroy();
  coordinator.destroy();
  await proxy.close();
  server.close();
  await once(server, 'close');
  // Sockets remove their files when they close.
  expect(await readdir(folder)).toEqual([]);
  await rm(folder, { recursive: true });
});

describe.each(kinds)('a proxy over %s', (kind) => {
  beforeEach(() => open(kind));

  it('hands bytes on both ways, more than fit into any buffer', async () => {
    const total = 8 << 20;
    let up = 0;
    let down = 0;
    coordinator.on('data', (bytes: Buffer) => {
      up += bytes.length;
    });
    worker.on('data', (bytes: Buffer) => {
      down += bytes.length;
    });
    worker.write(Buffer.alloc(total));
    coordinator.write(Buffer.alloc(total));
    await expect.poll(() => [up, down], { timeout: 10_000 }).toEqual([total, total]);
    expect(link.up.receivedBytes).toBe(total);
    expect(link.up.waitingBytes + link.down.waitingBytes).toBe(0);
  });

  it('tells one side that the other has ended, and lets the other direction go on', async () => {
    const answer = arrivals(worker);
    coordinator.on('end', () => coordinator.end('still there'));
    coordinator.resume();
    worker.end('bye');
    await expect.poll(answer).toBe('still there');
    await link.closed;
    expect(proxy.connections).toEqual([]);
  });

  it('holds a direction in the middle of a message, and goes on when released', async () => {
    const received = arrivals(coordinator);
    let position: number | null = null;
    link.up.apply({ type: 'hold', at: 4 }, (at) => {
      position = at;
    });
    worker.write('12345678');
    await expect.poll(received).toBe('1234');
    worker.end('9');
    await aWhile();
    expect(received()).toBe('1234');
    expect(position).toBe(4);
    expect(link.up.isHeld).toBe(true);
    link.up.release();
    await expect.poll(received).toBe('123456789');
  });

  it('cuts a connection with bytes under way, and says how many were lost', async () => {
    const received = arrivals(coordinator);
    link.up.apply({ type: 'hold', at: 2 });
    worker.write('12345');
    await expect.poll(() => link.up.isHeld).toBe(true);
    const ends = [closed(worker), closed(coordinator)];
    coordinator.on('end', () => coordinator.end());
    worker.on('end', () => worker.end());
    worker.resume();
    expect(link.cut('reset')).toEqual({ wasOpen: true, lostBytes: 3 });
    const [workerFailed] = await Promise.all(ends);
    // A reset is an error at the other end; a Unix socket has none.
    expect(workerFailed).toBe(kind === 'tcp');
    expect(received()).toBe('12');
    expect(link.isOpen).toBe(false);
    expect(link.cut('reset').wasOpen).toBe(false);
  });

  it('half-closes: one direction ends in good order, the other goes on', async () => {
    const received = arrivals(coordinator);
    const answers = arrivals(worker);
    link.up.apply({ type: 'end', at: 3 });
    const ended = once(coordinator, 'end');
    worker.write('12345');
    await ended;
    coordinator.write('answer');
    await expect.poll(answers).toBe('answer');
    expect(received()).toBe('123');
    expect(worker.closed).toBe(false);
  });

  it('falls silent without a word to either side, not even when one of them goes', async () => {
    const received = arrivals(coordinator);
    const heard = arrivals(worker);
    expect(link.silence()).toBe(true);
    worker.write('lost');
    coordinator.write('lost too');
    let told = false;
    coordinator.once('end', () => {
      told = true;
    });
    worker.destroy();
    await aWhile(100);
    expect([received(), heard(), told]).toEqual(['', '', false]);
  });

  it('flips a bit on the way, once', async () => {
    const received = arrivals(coordinator);
    link.up.apply({ type: 'corrupt', at: 1, bits: 1, exactly: true });
    worker.write('aaa');
    await expect.poll(() => received().length).toBe(3);
    worker.write('aaa');
    await expect.poll(() => received().length).toBe(6);
    expect(received().replaceAll('a', '')).toHaveLength(1);
    expect(received()[1]).not.toBe('a');
  });

  it('repeats bytes, as a broken middlebox does', async () => {
    const received = arrivals(coordinator);
    link.up.apply({ type: 'duplicate', at: 1 });
    worker.write('abc');
    await expect.poll(received).toBe('abcbc');
  });

  it('delays and throttles, and hands everything on in order', async () => {
    const received = arrivals(coordinator);
    const startedMs = performance.now();
    link.up.apply({ type: 'delay', at: 0, ms: 120, forMs: 500 });
    worker.write('slow');
    await expect.poll(received, { interval: 5 }).toBe('slow');
    expect(performance.now() - startedMs).toBeGreaterThanOrEqual(115);
    const answers = arrivals(worker);
    link.down.apply({ type: 'throttle', at: 0, bytesPerSecond: 100, forMs: 500 });
    const throttledMs = performance.now();
    coordinator.write('0123456789');
    await expect.poll(answers, { interval: 5 }).toBe('0123456789');
    expect(performance.now() - throttledMs).toBeGreaterThanOrEqual(95);
  });

  it('makes a fast sender wait for a slow direction, and holds little', async () => {
    link.up.apply({ type: 'throttle', at: 0, bytesPerSecond: 1_000_000, forMs: 60_000 });
    coordinator.resume();
    for (let i = 0; i < 256; i++) worker.write(Buffer.alloc(64 << 10));
    await aWhile(300);
    expect(link.up.waitingBytes).toBeGreaterThan(0);
    expect(link.up.waitingBytes).toBeLessThan(4 << 20);
    expect(worker.writableLength).toBeGreaterThan(4 << 20);
  });

  it('closes what is open, whatever state it is in', async () => {
    link.up.apply({ type: 'delay', at: 0, ms: 60_000, forMs: 60_000 });
    worker.write('never comes');
    link.down.hold();
    await aWhile();
    const ends = [closed(worker), closed(coordinator)];
    for (const socket of [worker, coordinator]) {
      socket.on('end', () => socket.end());
      socket.resume();
    }
    await proxy.close();
    await Promise.all(ends);
    expect(proxy.connections).toEqual([]);
  });
});

describe('a proxy that cannot listen', () => {
  beforeEach(() => open('tcp'));

  it('says that the address is taken', async () => {
    const listen = { host: '127.0.0.1', port: proxy.port ?? 0 };
    await expect(FaultProxy.listen({ listen, to: listen, seed: 0 })).rejects.toMatchObject({
      code: 'ADDRESS_IN_USE',
    });
  });
});
