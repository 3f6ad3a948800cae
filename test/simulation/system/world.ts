import { strict as assert } from 'node:assert';
import type { RunEvent } from '../../../coordinator/events.js';
import type { TrainingOutcome } from '../../../coordinator/loop/trainer.js';
import { LockstepError, messageOf } from '../../../shared/errors.js';
import type { ShardTask } from '../../../shared/program.js';
import type { RejectCode } from '../../../shared/protocol/reject.js';
import { Random } from '../../../shared/random.js';
import { VirtualClock } from '../virtual-clock.js';
import { CoordinatorLife } from './coordinator-life.js';
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
import type { Reference } from './reference.js';
import type { Scenario } from './scenario.js';
import { isPartial, type SentPartial } from './sent-partial.js';
import { SimulatedWorker } from './simulated-worker.js';
import type { TinyJob } from './tiny-job.js';

export interface WorldOptions {
  readonly scenario: Scenario;
  readonly reference: Reference;
  /** Whether messages travel as bytes. */
  readonly encodes: boolean;
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
  life: CoordinatorLife | null = null;
  /** The last reason for waiting that was told since something went on. */
  reason: string | null = null;
  readonly echo = new Echo();
  lastPartial: { readonly body: SentPartial; readonly payload: Uint8Array } | null = null;
  isOver = false;
  /** Commits so far, those included that a crash undid. */
  steps = 0;
  readonly #options: WorldOptions;
  #term = 0;
  /** Who holds the run folder. */
  #owner: CoordinatorLife | null = null;
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
    this.disk.weather.latencyMs = () => this.scenario.diskMs * (0.5 + this.random.next());
  }

  /** Runs until the training has ended as it must. Rejects with what would be wrong. */
  async run(): Promise<void> {
    this.clock.after(0, () => this.start());
    for (const startMs of this.scenario.workerStartsMs) this.clock.after(startMs, () => this.join());
    while (!this.isOver) {
      assert(this.clock.advance(), 'nothing is left to happen');
      // Whatever promises this event settled run to their end before the next one.
      await new Promise(setImmediate);
      if (this.#failure !== null) throw this.#failure;
      this.invariants.check();
      this.faults.look();
    }
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

  /** Starts a coordinator on the run folder. Gives whether it may have it. */
  start(): boolean {
    if (this.#owner?.process.isAlive) {
      this.trace('coordinator', () => 'a second one is refused: the run folder is held');
      return false;
    }
    this.#term += 1;
    const life = new CoordinatorLife(this, this.#term);
    this.life = life;
    this.#owner = life;
    this.invariants.progressed();
    this.trace(life.process.name, () => 'starts');
    life.process.onDeath(() => this.trace(life.process.name, () => 'is dead'));
    life.run().then(
      (outcome) => this.guard(() => this.#ended(life, outcome)),
      (error) => this.guard(() => this.#failed(life, error)),
    );
    return true;
  }

  guard(work: () => void): void {
    try {
      work();
    } catch (error) {
      this.fail(error as Error);
    }
  }

  /** The coordinator is started again some time later. */
  crash(): void {
    const { life } = this;
    life?.process.kill();
    this.#restart();
  }

  #restart(): void {
    this.#owner = null;
    this.life = null;
    this.clock.after(this.scenario.restartMs, () => {
      if (!this.isOver && this.life === null) this.start();
    });
  }

  join(): SimulatedWorker {
    const worker = new SimulatedWorker(this, this.workers.length);
    this.workers.push(worker);
    this.trace(worker.process.name, () => 'starts');
    worker.process.onDeath(() => this.trace(worker.process.name, () => 'is dead'));
    return worker;
  }

  /** Opens a line to the coordinator, or null if nobody listens. */
  dial(process: SimulatedProcess, encodes = this.encodes): Line | null {
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
        if (moment === 'sent' && from === 1 && isPartial(body)) {
          this.lastPartial = { body, payload: payload() };
          this.echo.record(this.lastPartial);
        }
        if (moment === 'arrived' && from === 0) this.echo.answer(at, body);
      },
      onEnd: (at, end) => {
        if (end === 0) life.traffic.lost(at);
      },
    });
    this.clock.after(this.latencyMs(), () => {
      life.process.enter(() => openDoor(this, life, line, life.admitted++));
    });
    return line;
  }

  latencyMs(): number {
    const [least, spread] = this.scenario.latencyMs;
    return least + spread * this.random.next();
  }

  shardMs(): number {
    const [least, spread] = this.scenario.shardMs;
    return least + spread * this.random.next();
  }

  admitted(line: Line, worker: number): void {
    line.incarnation = worker;
    this.life?.traffic.hears(line);
    this.trace('coordinator', () => `lets ${line.options.names[1]} in as worker ${worker}`);
    this.faults.admitted(line);
  }

  turnedAway(line: Line, code: RejectCode): void {
    this.trace('coordinator', () => `turns ${line.options.names[1]} away: ${code}`);
    this.faults.turnedAway(line);
  }

  foundCheckpoint(path: string, passedOver: number): void {
    this.trace('coordinator', () => `resumes from ${path}, ${passedOver} passed over`);
    if (passedOver > 0) this.faults.passedOver();
  }

  replace(afterMs: number): void {
    this.clock.after(afterMs, () => {
      if (!this.isOver) this.join();
    });
  }

  beginShard(worker: SimulatedWorker, kind: string, { step, shard }: ShardTask): void {
    this.trace(worker.process.name, () => `computes shard ${shard} of ${kind} step ${step}`);
    this.guard(() => worker.traffic?.computes());
    this.faults.shardBegins(worker, kind, step, shard);
  }

  heard(life: CoordinatorLife, event: RunEvent): void {
    switch (event.type) {
      case 'step':
        this.steps += 1;
        this.#progress();
        this.guard(() => {
          this.invariants.stepped(life, event.step);
        });
        return this.trace(life.process.name, () => `committed step ${event.step}, loss ${event.logs.loss}`);
      case 'epoch-end':
        this.#progress();
        return this.guard(() => this.invariants.epochEnded(life, event.epoch));
      case 'warning':
        this.faults.warned(event.message);
        return this.trace(life.process.name, () => event.message);
      case 'waiting':
        this.reason = event.reason;
        return this.trace(life.process.name, () => event.reason);
      case 'test-batch':
      case 'checkpoint':
      case 'worker-joined':
      case 'worker-lost':
        this.#progress();
        return this.trace(life.process.name, () => JSON.stringify(event));
      // Of the end it is told elsewhere; this event holds the time that really passed.
      case 'end':
        return;
      default:
        return this.trace(life.process.name, () => JSON.stringify(event));
    }
  }

  #progress(): void {
    this.reason = null;
    this.invariants.progressed();
  }

  /** Of the coordinator that holds the run folder. */
  get ownerTerm(): number | null {
    return this.#owner?.term ?? null;
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

  #ended(life: CoordinatorLife, outcome: TrainingOutcome): void {
    if (!life.process.isAlive) return;
    const { cause, position } = outcome;
    this.trace(life.process.name, () => `ended: ${cause} after ${position.step} steps`);
    life.process.kill();
    if (cause === 'signal') {
      if (!life.interrupt.signal.aborted)
        throw new InvariantBroken('I3', 'stopped by a signal that nobody sent');
      return this.#restart();
    }
    this.invariants.ended(life, position);
    this.isOver = true;
  }

  /** The run could not go on: that must be for a fault that explains it. It is started again. */
  #failed(life: CoordinatorLife, error: unknown): void {
    if (!life.process.isAlive) return;
    this.trace(life.process.name, () => `failed: ${messageOf(error)}`);
    if (!(error instanceof LockstepError)) throw error;
    if (!this.faults.explain(error))
      throw new InvariantBroken('I5', `it stopped for no fault: ${error.message}`);
    life.process.kill();
    this.#restart();
  }
}
