import { describe, expect, it } from 'vitest';
import { LockstepError } from '../../shared/errors.js';
import { type CoordinatorSession, coordinatorSession, workerSession } from '../../shared/protocol/session.js';
import type { ToCoordinator } from '../../shared/protocol/to-coordinator.js';
import type { ToWorkerOf } from '../../shared/protocol/to-worker.js';
import { createMemoryPair } from '../../shared/transport/memory.js';
import { liveAsWorker } from '../../worker/life.js';
import type { FromThread, ToThread } from '../../worker/thread-messages.js';
import type { ThreadOwner, ThreadPort } from '../../worker/thread-port.js';
import { VirtualClock } from '../simulation/virtual-clock.js';

const setup: ToWorkerOf<'setup'> = {
  type: 'setup',
  program: { topology: {}, frozenLayers: [], outputs: [], metrics: [], seed: 1 },
  manifestHash: 'a'.repeat(64),
  backend: 'cpu',
  threads: 1,
  jobSha256: null,
  heartbeatMs: 1_000,
  canary: null,
};
const compute: ToWorkerOf<'compute'> = {
  ...{
    type: 'compute',
    round: 1,
    kind: 'train',
    version: 0,
    step: 0,
    batchRows: 4,
    digest: false,
    shards: 2,
  },
  ...{ lo: 0, hi: 2 },
};

/** A thread that answers when the test says so. */
class FakeThread implements ThreadPort {
  owner: ThreadOwner | null = null;
  readonly log: string[] = [];

  attach(owner: ThreadOwner): void {
    this.log.push('attach');
    this.owner = owner;
  }

  detach(): void {
    this.log.push('detach');
    this.owner = null;
  }

  post(message: ToThread): void {
    this.log.push(message.type);
  }

  answer(answer: FromThread): void {
    this.owner?.onAnswer(answer);
  }
}

interface Incarnation {
  readonly coordinator: CoordinatorSession;
  readonly heard: ToCoordinator[];
  readonly breakLine: () => void;
}

/** A worker on a virtual clock, and a coordinator that is there or not. */
class Scene {
  readonly clock = new VirtualClock();
  readonly thread = new FakeThread();
  readonly incarnations: Incarnation[] = [];
  readonly lines: string[] = [];
  readonly leaving = new AbortController();
  isReachable = true;
  attempts = 0;
  refusal: LockstepError | null = null;
  readonly ended: Promise<string>;

  constructor({ rejoinMs = 600_000, silenceMs = 120_000 } = {}) {
    const life = liveAsWorker({
      ...{ clock: this.clock, thread: this.thread, random: () => 0.5, limits: { joinMs: 60_000, rejoinMs } },
      ...{ url: 'memory:', backend: 'auto', job: null, pid: 1, host: 'here', silenceMs },
      signal: this.leaving.signal,
      write: (line) => this.lines.push(line),
      connect: async () => {
        this.attempts += 1;
        if (this.refusal !== null) throw this.refusal;
        if (!this.isReachable) throw new LockstepError('CONNECTION_LOST', 'nobody answers', { hint: 'h' });
        return this.#admit();
      },
    });
    this.ended = life.then(
      () => 'left',
      (error) => `${(error as LockstepError).code}: ${(error as LockstepError).message}`,
    );
  }

  get last(): Incarnation {
    return this.incarnations[this.incarnations.length - 1];
  }

  #admit() {
    const pair = createMemoryPair();
    const incarnation = this.incarnations.length;
    const identity = { run: 'r', term: 1, worker: incarnation, incarnation };
    const coordinator = coordinatorSession(pair.ends[0], identity, this.clock);
    const heard: ToCoordinator[] = [];
    coordinator.onMessage((message) => heard.push(message));
    this.incarnations.push({ coordinator, heard, breakLine: pair.breakLine });
    return workerSession(pair.ends[1], identity, this.clock);
  }

  /** Delivers what is under way. */
  async settle(): Promise<void> {
    for (let i = 0; i < 12; i++) await new Promise((resolve) => setImmediate(resolve));
  }

  /** Lets time pass; with `beats`, the coordinator says something every second. */
  async pass(ms: number, { beats = false } = {}): Promise<void> {
    const untilMs = this.clock.nowMs() + ms;
    let isOver = false;
    this.clock.after(ms, () => {
      isOver = true;
    });
    const stop = beats
      ? this.clock.every(1_000, () => this.last.coordinator.send({ type: 'heartbeat' }))
      : () => {};
    await this.settle();
    while (!isOver) {
      this.clock.advance();
      await this.settle();
    }
    stop();
    expect(this.clock.nowMs()).toBe(untilMs);
  }

  async begin(): Promise<void> {
    await this.settle();
    this.last.coordinator.send(setup);
    this.last.coordinator.send(compute);
    await this.settle();
  }
}

const finished: FromThread = { type: 'finished', order: { round: 1, lo: 0, hi: 2 } };
const failed: FromThread = {
  ...{
    type: 'failed',
    order: { round: 1, lo: 0, hi: 2 },
    shard: 0,
    code: 'WORKER_FAILED',
    message: 'old',
    hint: 'h',
  },
};

describe("a worker's life", () => {
  it('goes on as a new incarnation when the line breaks, and nothing of the old one reaches the new', async () => {
    const scene = new Scene();
    await scene.begin();
    scene.last.breakLine();
    await scene.settle();
    expect(scene.thread.log).toEqual(['attach', 'setup', 'compute', 'detach']);
    await scene.pass(200);
    expect(scene.incarnations).toHaveLength(2);
    expect(scene.thread.log.slice(4)).toEqual(['attach']);
    expect(scene.incarnations[1].heard).toEqual([]);
    expect(scene.lines.some((line) => line.includes('joining again'))).toBe(true);
    scene.last.coordinator.close('goodbye');
    expect(await scene.ended).toBe('left');
  });

  it('comes back when it was thought to be gone, or what it sent was broken on the way', async () => {
    for (const code of ['silent', 'checksum', 'malformed', 'oversize', 'stale_incarnation'] as const) {
      const scene = new Scene();
      await scene.begin();
      scene.last.coordinator.close(code);
      await scene.pass(200);
      expect(scene.incarnations).toHaveLength(2);
      scene.last.coordinator.close('goodbye');
      expect(await scene.ended).toBe('left');
    }
  });

  it('ends when it is refused, with the reason', async () => {
    for (const code of ['fingerprint_mismatch', 'manifest_mismatch', 'failed'] as const) {
      const scene = new Scene();
      await scene.begin();
      scene.last.coordinator.send({ type: 'rejected', code, message: 'because of the threads' });
      scene.last.coordinator.close(code, 'no');
      expect(await scene.ended).toBe('CONNECTION_LOST: because of the threads');
      expect(scene.attempts).toBe(1);
    }
  });

  it('ends with its own error when that is why it was sent away', async () => {
    const scene = new Scene();
    await scene.begin();
    scene.thread.answer(failed);
    await scene.settle();
    scene.last.coordinator.close('failed', 'it failed');
    expect(await scene.ended).toBe('WORKER_FAILED: old');
  });

  it('gives up with the last reason when nobody takes it back', async () => {
    const scene = new Scene({ rejoinMs: 30_000 });
    await scene.begin();
    scene.isReachable = false;
    scene.last.breakLine();
    await scene.pass(31_000);
    expect(await scene.ended).toMatch(
      /^CONNECTION_LOST: the connection broke; then no coordinator at memory: for 30 s$/,
    );
    expect(scene.attempts).toBeGreaterThan(5);
  });

  it('does not come back when it was told not to', async () => {
    const scene = new Scene({ rejoinMs: 0 });
    await scene.begin();
    scene.last.breakLine();
    expect(await scene.ended).toBe('CONNECTION_LOST: the connection broke');
    expect(scene.attempts).toBe(1);
  });

  it('does not try again with a token that is not accepted any more', async () => {
    const scene = new Scene();
    await scene.begin();
    scene.refusal = new LockstepError('AUTH_FAILED', 'not this token', { hint: 'h' });
    scene.last.breakLine();
    await scene.pass(200);
    expect(await scene.ended).toBe('AUTH_FAILED: not this token');
  });

  it('leaves at once when it is asked to while it is away', async () => {
    const scene = new Scene();
    await scene.begin();
    scene.isReachable = false;
    scene.last.breakLine();
    await scene.pass(5_000);
    scene.leaving.abort();
    expect(await scene.ended).toBe('left');
  });

  it('finishes what it computes before it leaves', async () => {
    const scene = new Scene();
    await scene.begin();
    scene.leaving.abort();
    await scene.settle();
    expect(scene.last.heard).toEqual([]);
    scene.thread.answer(finished);
    expect(await scene.ended).toBe('left');
    await scene.settle();
    expect(scene.last.heard.map(({ type }) => type)).toEqual(['goodbye']);
  });

  it('says that it is alive every second, however long a shard computes', async () => {
    const scene = new Scene();
    await scene.begin();
    scene.thread.answer({ type: 'computing', round: 1, shard: 0 });
    await scene.pass(3_600_500, { beats: true });
    const beats = scene.last.heard.filter(({ type }) => type === 'heartbeat');
    expect(beats).toHaveLength(3_600);
    expect(beats[3_599]).toEqual({
      type: 'heartbeat',
      state: { phase: 'computing', round: 1, shard: 0 },
    });
    expect(scene.incarnations).toHaveLength(1);
  });

  it('takes a coordinator that says nothing for too long as lost, before setup too', async () => {
    for (const isSetUp of [false, true]) {
      const scene = new Scene({ silenceMs: 30_000 });
      if (isSetUp) await scene.begin();
      await scene.pass(29_000);
      expect(scene.incarnations).toHaveLength(1);
      const first = scene.last.coordinator;
      await scene.pass(2_000);
      expect(scene.incarnations).toHaveLength(2);
      expect(await first.closed).toMatchObject({ code: 'silent', by: 'peer' });
    }
  });
});
