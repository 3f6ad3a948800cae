import { LockstepError, messageOf } from '../../../shared/errors.js';
import type { ShardPartial } from '../../../shared/partial.js';
import type { ShardTask } from '../../../shared/program.js';
import type { WorkerSession } from '../../../shared/protocol/session.js';
import { ComputeHost } from '../../../worker/compute-host.js';
import { authenticate } from '../../../worker/connect.js';
import { liveAsWorker } from '../../../worker/life.js';
import type { Fault } from './faults.js';
import type { Line } from './line.js';
import { SimulatedProcess } from './process.js';
import { type Execute, SimulatedThread } from './simulated-thread.js';
import type { Traffic } from './traffic.js';
import type { World } from './world.js';

/** What is wrong with a worker at the moment. */
export interface Sickness {
  /** Times the usual compute time. */
  slowness: number;
  /** The next shard is never finished. */
  hangs: boolean;
  /** What it does to the results of its shards. */
  spoil: ((partial: ShardPartial, task: ShardTask) => void) | null;
  /** Why it is slow, or stuck. */
  fault: Fault | null;
  /** The next shard cannot be computed. */
  fails: Fault | null;
  /** It never comes to the end of building its program. */
  isNeverReady: Fault | null;
}

/** A coordinator that is silent for so long is gone. */
const silenceMs = 4_000;
/** Longer than the shards that a worker is computing. */
const leaveWithinMs = 10_000;
/** Longer than anything that keeps a coordinator away. */
const rejoinMs = 600_000;

/** A worker's process: the real worker, from joining to leaving, with the tiny program in its compute thread. */
export class SimulatedWorker {
  readonly number: number;
  readonly process: SimulatedProcess;
  readonly sickness: Sickness = {
    slowness: 1,
    hangs: false,
    spoil: null,
    fault: null,
    fails: null,
    isNeverReady: null,
  };
  /** The authenticated connection, or null. */
  line: Line | null = null;
  /** Of the coordinator that it is, or was last, connected to. */
  traffic: Traffic | null = null;
  isComputing = false;
  readonly #world: World;
  /** How its last connection ended. */
  #parting: string | null = null;
  readonly #departure = new AbortController();

  constructor(world: World, number: number) {
    this.#world = world;
    this.number = number;
    this.process = new SimulatedProcess(`worker ${number}`, world.clock);
    this.process.onDeath(() => {
      this.isComputing = false;
      this.line = null;
    });
    void this.#live();
  }

  get isHere(): boolean {
    return this.process.isAlive && this.line !== null;
  }

  /** Finishes what it computes, says goodbye and ends. */
  leave(): void {
    this.#departure.abort();
    const { clock } = this.#world;
    clock.after(leaveWithinMs, () => {
      const isHindered =
        this.process.continuedMs > 0 || this.process.isStopped || this.sickness.fault !== null;
      if (this.process.isAlive && !isHindered && !this.#world.isOver)
        this.#world.fail(
          new RangeError(`I5: a worker is here ${leaveWithinMs} ms after it was asked to leave`),
        );
    });
  }

  async #live(): Promise<void> {
    const { clock, name } = this.process;
    const thread = new ComputeHost({
      clock,
      startThread: (_threads, { onAnswer }) =>
        new SimulatedThread(this.process, { build: this.#build, execute: this.#execute }, onAnswer),
    });
    try {
      await liveAsWorker({
        connect: () => this.#connect(),
        url: 'simulation',
        limits: { joinMs: rejoinMs, rejoinMs },
        random: () => this.#world.random.next(),
        signal: this.#departure.signal,
        clock,
        thread,
        backend: 'auto',
        job: null,
        pid: this.number,
        host: 'simulation',
        silenceMs,
        write: (text) => this.#world.trace(name, () => text),
      });
      // Sent away by a coordinator that ends; whoever starts that again starts workers, too.
      if (!this.#departure.signal.aborted) this.#world.replace(500);
    } catch (error) {
      if (!this.process.isAlive) return;
      this.#world.trace(name, () => messageOf(error));
      if (!(error instanceof LockstepError)) return this.#world.fail(error as Error);
      if (this.#parting !== 'wrong_result' && this.#parting !== 'failed')
        this.#world.fail(new RangeError(`I5: a worker gives up after ${this.#parting}: ${error.message}`));
      // Whoever looks after it starts another one.
      this.#world.replace(500);
    }
    this.process.kill();
  }

  async #connect(): Promise<WorkerSession> {
    if (this.#parting === 'wrong_result')
      this.#world.fail(new RangeError('I1: a worker comes back that was sent away for wrong numbers'));
    const dialled = this.#world.dial(this.process);
    if (dialled === null) {
      throw new LockstepError('CONNECTION_LOST', 'nobody listens', { hint: 'It is tried again.' });
    }
    const { line, traffic } = dialled;
    const [, end] = line.ends;
    const session = await authenticate(end, { token: this.#world.token, clock: this.process.clock });
    this.line = line;
    this.traffic = traffic;
    void end.closed.then(({ code }) => {
      this.#parting = code;
      if (code === 'wrong_result' && !this.#world.faults.spoilers.has(this))
        this.#world.fail(
          new RangeError('I1: a worker is sent away for wrong numbers that it did not compute'),
        );
      if (this.line === line) this.line = null;
    });
    return session;
  }

  /** The program is built in no time, if ever. */
  readonly #build = async (): Promise<void> => {
    const { isNeverReady } = this.sickness;
    if (isNeverReady === null) return;
    this.#world.faults.took(isNeverReady);
    await new Promise<never>(() => {});
  };

  readonly #execute: Execute = async (kind, task, compute) => {
    this.isComputing = true;
    const { line } = this;
    const fails = this.#world.beginShard(this, kind, task);
    if (this.sickness.hangs) {
      this.sickness.hangs = false;
      await new Promise<never>(() => {});
    }
    await this.process.sleep(this.#world.shardMs() * this.sickness.slowness);
    this.isComputing = false;
    if (fails) throw new RangeError('this worker cannot compute it');
    const partial = compute();
    // Nobody wants what was ordered on a connection that is gone.
    if (kind === 'train' && line === this.line) this.sickness.spoil?.(partial, task);
    return partial;
  };
}
