import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { connect as connectSocket, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { encodeFrame } from '../../shared/protocol/frame.js';
import { ShardComputer } from '../../worker/compute/shard-computer.js';
import { connect } from '../../worker/connect.js';
import { RawPeer } from './raw-peer.js';
import { RecordingRelay } from './recording-relay.js';
import { bitsOf, fixtureJob, TestRun, type Trained } from './test-run.js';

const job = [fixtureJob('cnn'), '--shards', '4', '--seed', '7', '--backend', 'cpu', '--epochs', '4'];
const tiny = { LOCKSTEP_TEST_SIZE: 'tiny' };
const stepShards = 4 * (9 * 4 + 2);

let undisturbed: TestRun;
let reference: Trained;
beforeAll(async () => {
  undisturbed = await TestRun.begin();
  reference = await undisturbed.train([...job, '--workers', '1'], tiny);
});
afterAll(() => undisturbed.end());

let run: TestRun;
let relay: RecordingRelay;
let coordinator: Awaited<ReturnType<TestRun['startCoordinator']>>;
let token: string;
let port: number;

/** A run in the middle of a step: what its one worker has computed is held back on the line. */
beforeEach(async () => {
  run = await TestRun.begin();
  coordinator = await run.startCoordinator(job, 1, tiny);
  token = (await readFile(coordinator.token, 'utf8')).trim();
  port = Number(new URL(coordinator.url).port);
  const line = await RecordingRelay.to(coordinator.url);
  relay = line.relay;
  run.startWorker({ url: line.url, token: coordinator.token });
  await coordinator.process.entry(({ event }) => event === 'step');
  relay.hold();
});
afterEach(async () => {
  relay.end();
  await run.end();
});

/** Lets the run go on, and sees that it ends as if nothing had happened. Gives what its log says of strangers. */
async function expectUndisturbed(): Promise<string> {
  relay.release();
  const trained = await coordinator.trained;
  expect(trained.exitCode).toBe(0);
  expect(bitsOf(trained)).toEqual(bitsOf(reference));
  expect(trained.report.shardsComputed).toBe(stepShards);
  const warnings = trained.entries.filter(({ level }) => level === 'warn').map(({ message }) => message);
  expect(trained.stdout).not.toContain(token);
  return warnings.join('\n');
}

/** Of the coordinator's process, which was started first. */
async function residentBytes(): Promise<number> {
  const [pid] = (await run.running()).sort((a, b) => a - b);
  const status = await readFile(`/proc/${pid}/status`, 'utf8');
  return 1_024 * Number(/VmRSS:\s+(\d+)/.exec(status)?.[1]);
}

/** A socket to the coordinator's port, and all that it ever hears. */
function openSocket(): { socket: Socket; heard: Promise<string> } {
  const socket = connectSocket(port, '127.0.0.1');
  const chunks: Buffer[] = [];
  socket.on('data', (chunk) => chunks.push(chunk)).on('error', () => {});
  const heard = once(socket, 'close').then(() => Buffer.concat(chunks).toString('latin1'));
  return { socket, heard };
}

const upgrade =
  'GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n' +
  'Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n';

/** What nobody may hear who does not hold the token. */
function expectNothingLearnt(heard: string): void {
  for (const secret of [
    token,
    coordinator.token,
    'cnn',
    'conv2d',
    'dense',
    'shard',
    '"run"',
    'run-',
    'term',
  ]) {
    expect(heard).not.toContain(secret);
  }
}

describe('the run goes on, bit for bit, and its log says what was tried, when', () => {
  it('a port scanner connects, hangs up, sends garbage, asks for a page, and says hello in TLS', async () => {
    const { socket: shy } = openSocket();
    await once(shy, 'connect');
    shy.destroy();
    const garbage = openSocket();
    garbage.socket.write(Buffer.from([0, 1, 2, 3, 250, 251, 252, 13, 10, 13, 10]));
    expectNothingLearnt(await garbage.heard);
    const page = openSocket();
    page.socket.write('GET /jobs HTTP/1.1\r\nHost: x\r\n\r\n');
    const response = await page.heard;
    expect(response).toContain('426');
    expectNothingLearnt(response);
    const tls = connectTls({ port, host: '127.0.0.1', rejectUnauthorized: false });
    await once(tls, 'error');
    const log = await expectUndisturbed();
    expect(log).toMatch(/turned away 127\.0\.0\.1:\d+ \(lost\)/);
    expect(log.match(/\(no_websocket\)/g)).toHaveLength(3);
  });

  it('a stranger has a wrong token, or only listens', async () => {
    await expect(connect({ url: coordinator.url, token: `${token}x` })).rejects.toMatchObject({
      code: 'AUTH_FAILED',
    });
    const listening = openSocket();
    listening.socket.write(upgrade);
    await once(listening.socket, 'data');
    await new Promise((resolve) => setTimeout(resolve, 200));
    listening.socket.destroy();
    const heard = await listening.heard;
    expect(heard).toContain('hello');
    expectNothingLearnt(heard.slice(heard.indexOf('\r\n\r\n')));
    const log = await expectUndisturbed();
    expect(log).toMatch(/turned away 127\.0\.0\.1:\d+ \(auth_failed\): You do not hold the token/);
    expect(log).toMatch(/\(lost\)/);
  });

  it('frames of 10 GB are announced, by the WebSocket and by our own header', async () => {
    const before = await residentBytes();
    const large = openSocket();
    large.socket.write(upgrade);
    await once(large.socket, 'data');
    large.socket.write(Buffer.from('82ff00000002540be40000000000', 'hex'));
    large.socket.write(Buffer.alloc(100_000));
    await large.heard;
    const peer = await RawPeer.stranger(coordinator.url);
    peer.sendBytes(headOf({ type: 'proof' }, 1e10));
    expect(await peer.closed).toBe('oversize');
    const member = await RawPeer.authenticated(coordinator.url, token);
    member.sendBytes(headOf({ run: 'x', term: 1, incarnation: 1, message: {} }, 1e10));
    expect(await member.closed).toBe('oversize');
    expect((await residentBytes()) - before).toBeLessThan(100e6);
    const log = await expectUndisturbed();
    expect(log.match(/\(oversize\)/g)?.length).toBeGreaterThanOrEqual(3);
  });

  it('a hundred strangers send a byte now and then, for as long as they may', async () => {
    const before = await residentBytes();
    const slow = Array.from({ length: 100 }, openSocket);
    const drip = setInterval(() => {
      for (const { socket } of slow) socket.write('G');
    }, 100);
    const mute = await Promise.all(Array.from({ length: 20 }, () => RawPeer.stranger(coordinator.url)));
    await Promise.all(slow.map(({ heard }) => heard));
    expect(await Promise.all(mute.map(({ closed }) => closed))).toEqual(mute.map(() => 'handshake_timeout'));
    clearInterval(drip);
    expect((await residentBytes()) - before).toBeLessThan(100e6);
    const log = await expectUndisturbed();
    expect(log).toMatch(/\((handshake_timeout|no_websocket)\)/);
    expect(log).toMatch(/turned away more: .*\d+ × handshake_timeout/);
    // A flood does not fill the log.
    expect(log.split('\n').filter((line) => line.startsWith('turned away')).length).toBeLessThan(30);
  });

  it('the session of a worker is recorded and sent again, byte for byte', async () => {
    const recorded = Buffer.concat(relay.recorded);
    expect(recorded.byteLength).toBeGreaterThan(2_000);
    const replayed = openSocket();
    replayed.socket.write(recorded);
    expectNothingLearnt((await replayed.heard).split('\r\n\r\n').slice(1).join());
    const log = await expectUndisturbed();
    expect(log).toMatch(/turned away 127\.0\.0\.1:\d+ \(auth_failed\)/);
  });
});

/** A member of the run that builds the program, and then does what it wants. */
async function rogue(): Promise<RawPeer> {
  const host = `elsewhere-${randomUUID()}`;
  const peer = await RawPeer.authenticated(coordinator.url, token);
  const computer = new ShardComputer((answer) => {
    if (answer.type !== 'ready') return;
    const { model: _, ...ready } = answer;
    peer.say({ ...ready, threads: 1, pid: process.pid, host });
  });
  peer.onHeard = (message) => {
    if (message.type === 'setup')
      void computer.handle({ type: 'setup', setup: message as never, jobPath: null });
  };
  for (const message of [...peer.heard]) peer.onHeard(message);
  await coordinator.process.entry(
    ({ event, worker }) => event === 'worker-joined' && (worker as { host: string }).host === host,
  );
  return peer;
}

describe('a member that holds the token and misbehaves costs no bit', () => {
  const heartbeat = { type: 'heartbeat', state: { phase: 'idle' } };
  const sections = { gradient: 1e9, sums: 3, moments: [], scores: [] };
  const partial = { type: 'partial', round: 1, lo: 0, hi: 1, computeMs: 1, sections, digests: [] };
  const flipped = (): Uint8Array => {
    const [head] = encodeFrame({ type: 'anything' });
    head[20] ^= 1;
    return head;
  };

  const misdeeds: [string, (peer: RawPeer) => void][] = [
    ['malformed', (peer) => peer.sendBytes(Buffer.alloc(7))],
    ['checksum', (peer) => peer.sendBytes(flipped())],
    // A message of the other direction, and a partial that is shorter than it says.
    ['invalid_message', (peer) => peer.say({ type: 'weights', version: 1 })],
    ['invalid_message', (peer) => peer.say(partial)],
    // It was asked for nothing: no payload has a place.
    ['oversize', (peer) => peer.say(partial, [new Uint8Array(8)])],
    [
      'wrong_run',
      (peer) => {
        for (let i = 0; i < 40; i++) peer.say(heartbeat, [], { run: 'x' });
      },
    ],
    [
      'too_many_messages',
      (peer) => {
        for (let i = 0; i < 5_000; i++) peer.say(heartbeat);
      },
    ],
  ];

  it('whatever it sends: it is closed with a code, which the log tells', async () => {
    for (const [code, misbehave] of misdeeds) {
      const peer = await rogue();
      misbehave(peer);
      expect(await peer.closed).toBe(code);
    }
    const log = await expectUndisturbed();
    for (const [code] of misdeeds) {
      expect(log).toMatch(new RegExp(`turned away worker at 127\\.0\\.0\\.1:\\d+ \\(${code}\\)`));
    }
  });
});

/** The head of a frame whose header announces a payload of so many bytes, with a checksum that is right. */
function headOf(body: object, payloadBytes: number): Uint8Array {
  const pieces: Uint8Array[] = [];
  const [head] = encodeFrame(body, { pieces, bytes: payloadBytes, crc32: 0 });
  return head;
}
