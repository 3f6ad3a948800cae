import { expect } from 'vitest';
import { LockstepError } from '../../shared/errors.js';
import { type CoordinatorSession, coordinatorSession, workerSession } from '../../shared/protocol/session.js';
import type { ToCoordinator } from '../../shared/protocol/to-coordinator.js';
import type { ToWorkerOf } from '../../shared/protocol/to-worker.js';
import { createMemoryPair } from '../../shared/transport/memory.js';
import { cpuFingerprint } from '../../worker/backend/fingerprint.js';
import { liveAsWorker } from '../../worker/life.js';
import type { FromThread, ToThread } from '../../worker/thread-messages.js';
import type { ThreadOwner, ThreadPort } from '../../worker/thread-port.js';
import { VirtualClock } from '../simulation/virtual-clock.js';

export const setup: ToWorkerOf<'setup'> = {
  type: 'setup',
  program: { topology: {}, frozenLayers: [], outputs: [], metrics: [], seed: 1 },
  manifestHash: 'a'.repeat(64),
  backend: 'cpu',
  threads: 1,
  jobSha256: null,
  heartbeatMs: 1_000,
  canary: null,
};
export const compute: ToWorkerOf<'compute'> = {
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
export class FakeThread implements ThreadPort {
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

export interface Incarnation {
  readonly coordinator: CoordinatorSession;
  readonly heard: ToCoordinator[];
  readonly breakLine: () => void;
}

/** A worker on a virtual clock, and a coordinator that is there or not. */
export class Scene {
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
    await this.settle();
    this.thread.answer(ready);
    await this.settle();
    this.last.coordinator.send(compute);
    await this.settle();
  }
}

export const ready: FromThread = {
  ...{ type: 'ready', manifestHash: setup.manifestHash, fingerprint: cpuFingerprint(), canary: null },
  fallback: null,
  // Two weights, and rows of three numbers with a label.
  model: { weights: 2, inputs: [[3]], outputs: [[1]] },
};
