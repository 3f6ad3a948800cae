import { EventEmitter } from 'node:events';
import { beforeEach, describe, expect, it, vi } from 'vitest';
import { LocalWorkers } from '../../coordinator/local-workers.js';

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

beforeEach(() => {
  children.length = 0;
  forked.canSpawn = true;
});

function started(count: number, maxRespawns: number, isWanted = () => true) {
  const respawned: string[] = [];
  const gone: string[] = [];
  const workers = new LocalWorkers({
    config,
    maxRespawns,
    isWanted,
    onRespawn: (_pid, reason) => respawned.push(reason),
    onGone: (reason) => gone.push(reason),
  });
  workers.start(count);
  return { workers, respawned, gone };
}

describe('local workers', () => {
  it('are told what to join, and replaced when they end by themselves', () => {
    const { respawned, gone } = started(2, 1);
    expect(children.map(({ sent }) => sent)).toEqual([[config], [config]]);
    children[0].end(1);
    expect(children).toHaveLength(3);
    expect(respawned).toEqual(['worker process 100 ended with code 1']);
    children[1].end(1);
    expect(children).toHaveLength(3);
    expect(gone).toEqual(['worker process 101 ended with code 1']);
  });

  it('count once when they die before they have read what to join', () => {
    const { respawned, gone } = started(1, 1);
    // Node reports the message that could not be written, then the end.
    children[0].emit('error', Object.assign(new Error('write EPIPE'), { code: 'EPIPE' }));
    children[0].emit('error', Object.assign(new Error('Channel closed'), { code: 'ERR_IPC_CHANNEL_CLOSED' }));
    expect(gone).toEqual([]);
    children[0].end(1);
    expect(respawned).toHaveLength(1);
    expect(gone).toEqual([]);
  });

  it('are gone when the system starts no process', () => {
    forked.canSpawn = false;
    const { gone } = started(1, 1);
    children[0].emit('error', new Error('spawn EAGAIN'));
    expect(gone).toEqual(['spawn EAGAIN']);
    expect(children[0].sent).toEqual([]);
  });

  it('are not replaced, and not missed, when the run has sent them away', () => {
    const { respawned, gone } = started(2, 8, () => false);
    for (const child of [...children]) child.end(1);
    expect(children).toHaveLength(2);
    expect([...respawned, ...gone]).toEqual([]);
  });

  it('are not replaced once they are closed', async () => {
    const { workers, respawned, gone } = started(2, 8);
    await workers.close();
    expect(children.map(({ connected }) => connected)).toEqual([false, false]);
    expect([...respawned, ...gone]).toEqual([]);
  });
});
