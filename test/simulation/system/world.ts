import { strict as assert } from 'node:assert';
import type { RunEvent } from '../../../coordinator/events.js';
import type { ShardTask } from '../../../shared/program.js';
import type { RejectCode } from '../../../shared/protocol/reject.js';
import { Random } from '../../../shared/random.js';
import { VirtualClock } from '../virtual-clock.js';
import type { CoordinatorLife } from './coordinator-life.js';
import { openDoor } from './door.js';
import { Echo } from './echo.js';
import type { Phase } from './faults.js';
import { FaultInjector } from './inject.js';
import { InvariantBroken, Invariants } from './invariants.js';
import { limits } from './limits.js';
import { Line } from './line.js';
import { MemoryDisk } from './memory-disk.js';
import { phaseOf } from './phase.js';
import type { SimulatedProcess } from './process.js';
import { ReceiptChain } from './receipt-chain.js';
import type { Reference } from './reference.js';
import { SavedProgress } from './saved-progress.js';
import type { Scenario } from './scenario.js';
import { isOrder, isPartial, type SentPartial } from './sent-partial.js';
import { SimulatedWorker } from './simulated-worker.js';
import { Succession } from './succession.js';
import type { TinyJob } from './tiny-job.js';
import type { Traffic } from './traffic.js';

export interface WorldOptions {
  readonly scenario: Scenario;
  readonly reference: Reference;
  /** Whether messages travel as bytes. */
  readonly encodes: boolean;
  /** The receipts of the run in which nothing goes wrong; null for that run itself. */
  readonly receipts: ReadonlySet<string> | null;
  readonly onTrace: ((line: string) => void) | null;
}

/** Everything a run consists of, and what befalls it. */
export class World {
  readonly clock = new VirtualClock();
  readonly disk = new MemoryDisk();
  readonly token = 'the token of the simulation';
  readonly runId = 'simulation';
  readonly limits = limits;
  readonly scenario: Scenario;
  /** Whether messages travel as bytes. */
  readonly encodes: boolean;
  readonly job: TinyJob;
  readonly reference: Reference;
  /** For what happens; the scenario was drawn before. */
  readonly random: Random;
  readonly invariants: Invariants;
  readonly faults: FaultInjector;
  readonly workers: SimulatedWorker[] = [];
  readonly succession: Succession;
  readonly saved: SavedProgress;
  readonly receipts: ReceiptChain;
  /** The last reason for waiting that was told since something went on. */
  reason: string | null = null;
  readonly echo = new Echo();
  lastPartial: { readonly body: SentPartial; readonly payload: Uint8Array } | null = null;
  /** With what the first worker proved that it holds the token. */
  proof: object | null = null;
  /** The last order to compute, in its envelope. */
  lastOrder: object | null = null;
  isOver = false;
  /** Commits so far, those included that a crash undid. */
  steps = 0;
  readonly #options: WorldOptions;
  #failure: Error | null = null;

  constructor(options: WorldOptions) {
    this.#options = options;
    this.scenario = options.scenario;
    this.encodes = options.encodes;
    this.reference = options.reference;
    this.job = options.reference.job;
    this.random = new Random(options.scenario.seed);
    this.invariants = new Invariants(this, options.reference);
    this.faults = new FaultInjector(this);
    this.succession = new Succession(this);
    this.saved = new SavedProgress(this);
    this.receipts = new ReceiptChain(options.receipts);
    this.disk.weather.latencyMs = () => this.scenario.diskMs * (0.5 + this.random.next());
  }

  /** Runs until the training has ended as it must. Rejects with what would be wrong. */
  async run(): Promise<void> {
    this.clock.after(0, () => this.succession.start());
    for (const startMs of this.scenario.workerStartsMs) this.clock.after(startMs, () => this.join());
    while (!this.isOver) {
      assert(this.clock.advance(), 'nothing is left to happen');
      await this.#settled();
      if (this.#failure !== null) throw this.#failure;
      this.invariants.check();
      this.faults.look();
    }
  }

  /**
   * Whatever promises an event settled run to their end before the next one. An order to stop is given a turn of the
   * event loop besides: it lets go first what is there already (coordinator/loop/data-wait.ts).
   */
  #settled(): Promise<void> {
    const isToStop = this.life?.interrupt.signal.aborted === true;
    return new Promise((resolve) => void (isToStop ? setImmediate(resolve) : process.nextTick(resolve)));
  }

  trace(actor: string, tell: () => string): void {
    const { onTrace } = this.#options;
    if (onTrace === null) return;
    onTrace(`${(this.clock.nowMs() / 1_000).toFixed(4).padStart(9)}  ${actor.padEnd(14)}  ${tell()}`);
  }

  /** What an owner of the invariants finds out between two events. */
  fail(error: Error): void {
    this.#failure ??= error;
  }

  /** The coordinator of the run; null while there is none. */
  get life(): CoordinatorLife | null {
    return this.succession.life;
  }

  guard(work: () => void): void {
    try {
      work();
    } catch (error) {
      this.fail(error as Error);
    }
  }

  join(): SimulatedWorker {
    const worker = new SimulatedWorker(this, this.workers.length);
    this.workers.push(worker);
    this.trace(worker.process.name, () => 'starts');
    worker.process.onDeath(() => this.trace(worker.process.name, () => 'is dead'));
    return worker;
  }

  /** Opens a line to the coordinator, or null if nobody listens. */
  dial(process: SimulatedProcess, encodes = this.encodes): { line: Line; traffic: Traffic } | null {
    const { life } = this;
    if (life?.conductor == null || !life.process.isAlive || life.stage === 'ended') return null;
    const line = new Line({
      clock: this.clock,
      processes: [life.process, process],
      names: ['coordinator', process.name],
      latencyMs: () => this.latencyMs(),
      encodes,
      onFrame: (at, from, body, payload, moment) => {
        this.guard(() => life.traffic.frame(at, from, body, moment));
        if (moment === 'sent' && from === 1 && at.incarnation === null) this.proof ??= body as object;
        if (moment === 'sent' && from === 0 && isOrder(body)) this.lastOrder = body;
        if (moment === 'sent' && from === 1 && isPartial(body)) {
          this.lastPartial = { body, payload: payload() };
          this.echo.record(this.lastPartial);
        }
        if (moment === 'arrived' && from === 0) this.echo.answer(at, body);
      },
      onSpoilt: () => this.fail(new InvariantBroken('I1', 'a frame was changed after it was sent')),
      isOwn: (at, body) => life.traffic.isOwn(at, body),
      onEnd: (at, end) => {
        if (end === 0) life.traffic.lost(at);
      },
    });
    this.clock.after(this.latencyMs(), () => {
      life.process.enter(() => openDoor(this, life, line, life.admitted++));
    });
    return { line, traffic: life.traffic };
  }

  latencyMs(): number {
    const [least, spread] = this.scenario.latencyMs;
    return least + spread * this.random.next();
  }

  shardMs(): number {
    const [least, spread] = this.scenario.shardMs;
    return least + spread * this.random.next();
  }

  admitted(life: CoordinatorLife, line: Line, worker: number): void {
    line.incarnation = worker;
    life.traffic.members.add(line);
    this.trace('coordinator', () => `lets ${line.options.names[1]} in as worker ${worker}`);
    this.faults.admitted(line);
  }

  turnedAway(line: Line, code: RejectCode): void {
    this.trace('coordinator', () => `turns ${line.options.names[1]} away: ${code}`);
    this.faults.turnedAway(line);
  }

  foundCheckpoint(life: CoordinatorLife, path: string | null, step: number, passedOver: number): void {
    if (path !== null) this.trace(life.process.name, () => `resumes from ${path}, ${passedOver} passed over`);
    if (passedOver > 0) this.faults.passedOver();
    if (life === this.life) this.guard(() => this.saved.foundBy(life, path, step));
  }

  replace(afterMs: number): void {
    this.clock.after(afterMs, () => {
      if (!this.isOver) this.join();
    });
  }

  /** Gives whether the worker fails at it. */
  beginShard(worker: SimulatedWorker, kind: string, { step, shard }: ShardTask): boolean {
    this.trace(worker.process.name, () => `computes shard ${shard} of ${kind} step ${step}`);
    this.guard(() => worker.traffic?.computes());
    return this.faults.shardBegins(worker, kind, step, shard);
  }

  heard(life: CoordinatorLife, event: RunEvent): void {
    if (event.type === 'step') this.guard(() => this.invariants.stepped(life, event.step));
    // Of one whose folder was taken over only the bits count.
    if (life === this.life) this.guard(() => this.#hear(life, event));
  }

  #hear(life: CoordinatorLife, event: RunEvent): void {
    const tell = (text: string): void => this.trace(life.process.name, () => text);
    switch (event.type) {
      case 'step':
        this.steps += 1;
        this.invariants.committed();
        this.#progress();
        this.saved.stepped(life, event.step);
        return tell(`committed step ${event.step}, loss ${event.logs.loss}`);
      case 'epoch-end':
        this.#progress();
        return this.invariants.epochEnded(life, event.epoch);
      case 'warning':
        this.faults.warned(event.message);
        return tell(event.message);
      case 'waiting':
        this.reason = event.reason;
        return tell(event.reason);
      case 'saving':
        return this.saved.saving(event.step);
      case 'checkpoint':
        this.#progress();
        tell(JSON.stringify(event));
        return this.saved.written(event.path);
      case 'worker-lost':
        this.#progress();
        tell(JSON.stringify(event));
        return life.traffic.evicted(event.worker, event.reason);
      case 'test-batch':
      case 'worker-joined':
        this.#progress();
        return tell(JSON.stringify(event));
      // Of the end it is told elsewhere; this event holds the time that really passed.
      case 'end':
        return;
      default:
        return tell(JSON.stringify(event));
    }
  }

  #progress(): void {
    this.reason = null;
    this.invariants.progressed();
  }

  get isWriting(): boolean {
    return this.life?.isWriting === true;
  }

  get committed(): number {
    return this.life?.state.iteration ?? 0;
  }

  /** What the run is at. */
  get phase(): Phase {
    return phaseOf(this);
  }
}
