import { EventEmitter } from 'node:events';
import { beforeEach, describe, expect, it, vi } from 'vitest';
import { LocalWorkers } from '../../coordinator/local-workers.js';
import { VirtualClock } from '../simulation/virtual-clock.js';

/** What `fork` gives, as far as it matters here. */
class FakeChild extends EventEmitter {
  connected = true;
  exitCode: number | null = null;
  signalCode: NodeJS.Signals | null = null;
  readonly sent: unknown[] = [];

  constructor(readonly pid: number | undefined) {
    super();
  }

  send(message: unknown): void {
    this.sent.push(message);
  }

  disconnect(): void {
    this.connected = false;
    this.end(0);
  }

  kill(signal: NodeJS.Signals): void {
    this.signalCode = signal;
    this.emit('exit', null, signal);
  }

  end(code: number): void {
    this.exitCode = code;
    this.emit('exit', code, null);
  }
}

const forked = vi.hoisted(() => ({ children: [] as unknown[], canSpawn: true }));
vi.mock('node:child_process', () => ({
  fork: () => {
    const child = new FakeChild(forked.canSpawn ? 100 + forked.children.length : undefined);
    forked.children.push(child);
    return child;
  },
}));

const children = forked.children as FakeChild[];
const config = {
  url: 'ws+unix:/tmp/none',
  token: 'a token of the tests',
  backend: 'auto' as const,
  job: null,
  faults: false,
};
const told = { ...config, memory: false };

beforeEach(() => {
  children.length = 0;
  forked.canSpawn = true;
});

/** Five replacements in ten minutes. */
const respawn = { windowMs: 600_000, perWindow: 5, backoffMs: 500, longestBackoffMs: 30_000 };

function started(count: number, isWanted = () => true) {
  const clock = new VirtualClock();
  const delays: number[] = [];
  const gone: string[] = [];
  const reasons: string[] = [];
  const workers = new LocalWorkers({
    config,
    clock,
    respawn,
    isWanted,
    onRespawn: (reason, delayMs) => {
      reasons.push(reason);
      delays.push(delayMs);
    },
    onGone: (reason) => gone.push(reason),
  });
  workers.start(count);
  return { workers, clock, delays, reasons, gone };
}

/** Lets so much time pass. */
function pass(clock: VirtualClock, ms: number): void {
  let isOver = false;
  clock.after(ms, () => {
    isOver = true;
  });
  while (!isOver) clock.advance();
}

const newest = (): FakeChild => children[children.length - 1];

describe('local workers', () => {
  it('are told what to join, and replaced when they end by themselves', () => {
    const { clock, delays, gone } = started(2);
    expect(children.map(({ sent }) => sent)).toEqual([[told], [told]]);
    children[0].end(1);
    pass(clock, 0);
    expect(children).toHaveLength(3);
    expect(newest().sent).toEqual([told]);
    expect([delays, gone]).toEqual([[0], []]);
  });

  it('are replaced ever later when they die at once, and given up after five times', () => {
    const { clock, delays, gone } = started(1);
    for (let death = 1; death <= 6; death++) {
      expect(gone).toEqual([]);
      newest().end(1);
      pass(clock, (delays.at(-1) ?? 0) - 1);
      if (death > 1 && death < 6) expect(children).toHaveLength(death);
      pass(clock, 1);
      expect(children).toHaveLength(Math.min(6, death + 1));
    }
    expect(delays).toEqual([0, 500, 1_000, 2_000, 4_000]);
    expect(gone).toEqual(['worker process 105 ended with code 1, the 6th time in 10 minutes']);
  });

  it('never run out in a long run with a death now and then', () => {
    const { clock, delays, gone } = started(1);
    for (let death = 0; death < 100; death++) {
      newest().end(1);
      pass(clock, 180_000);
    }
    expect(children).toHaveLength(101);
    expect(gone).toEqual([]);
    // In any ten minutes there are three more before it.
    expect(delays.slice(-3)).toEqual([2_000, 2_000, 2_000]);
  });

  it('do not answer for each other: the others of one that is given up are replaced as before', () => {
    const { clock, delays, gone } = started(2);
    children[1].end(1);
    pass(clock, 0);
    for (let death = 1; death <= 5; death++) {
      newest().end(1);
      pass(clock, delays.at(-1) ?? 0);
    }
    expect(gone).toHaveLength(1);
    children[0].end(1);
    expect(delays.at(-1)).toBe(0);
    pass(clock, 0);
    expect(newest().exitCode).toBeNull();
  });

  it('count once when they die before they have read what to join', () => {
    const { delays, gone } = started(1);
    // Node reports the message that could not be written, then the end.
    children[0].emit('error', Object.assign(new Error('write EPIPE'), { code: 'EPIPE' }));
    children[0].emit('error', Object.assign(new Error('Channel closed'), { code: 'ERR_IPC_CHANNEL_CLOSED' }));
    expect(delays).toEqual([]);
    children[0].end(1);
    expect([delays, gone]).toEqual([[0], []]);
  });

  it('are tried again when the system starts no process, and given up in the same way', () => {
    forked.canSpawn = false;
    const { clock, gone } = started(1);
    for (let failure = 0; failure < 6; failure++) {
      newest().emit('error', new Error('spawn EAGAIN'));
      pass(clock, 10_000);
    }
    expect(children.flatMap(({ sent }) => sent)).toEqual([]);
    expect(gone).toEqual(['a worker process could not be started: spawn EAGAIN, the 6th time in 10 minutes']);
  });

  it('are ended and replaced when the run has sent them away: they may hang', () => {
    const { workers, clock, reasons, gone } = started(2);
    children[0].emit('message', { type: 'joined', worker: 4 });
    children[1].emit('message', { type: 'joined', worker: 5 });
    workers.end(4, 'silent for 30.0 s');
    expect(children.map(({ signalCode }) => signalCode)).toEqual(['SIGKILL', null]);
    expect(reasons).toEqual(['worker process 100 was ended with worker 4 (silent for 30.0 s)']);
    pass(clock, 0);
    expect(children).toHaveLength(3);
    expect(gone).toEqual([]);
  });

  it('stay when they have joined again since, as others', () => {
    const { workers, reasons } = started(1);
    for (const worker of [0, 1]) children[0].emit('message', { type: 'joined', worker });
    // Of a fault plan's hook.
    children[0].emit('message', { type: 'begun', step: 0, shard: 0 });
    workers.end(0, 'silent for 30.0 s');
    expect(children[0].signalCode).toBeNull();
    workers.end(1, 'silent for 30.0 s');
    expect(reasons).toHaveLength(1);
  });

  it('are not replaced, and not missed, when the run has sent them away', () => {
    const { delays, gone } = started(2, () => false);
    for (const child of [...children]) child.end(1);
    expect(children).toHaveLength(2);
    expect([...delays, ...gone]).toEqual([]);
  });

  it('are not replaced once they are closed, also when that was decided before', async () => {
    const { workers, clock } = started(2);
    children[1].end(1);
    await workers.close();
    pass(clock, 600_000);
    expect(children.map(({ connected }) => connected)).toEqual([false, true]);
    expect(children).toHaveLength(2);
  });
});
