import { LockstepError, messageOf } from '../../../shared/errors.js';
import type { ShardPartial } from '../../../shared/partial.js';
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
  spoil: ((partial: ShardPartial) => void) | null;
  /** Why. */
  fault: Fault | null;
}

/** A coordinator that is silent for so long is gone. */
const silenceMs = 4_000;
/** Longer than anything that keeps a coordinator away. */
const rejoinMs = 600_000;

/** A worker's process: the real worker, from joining to leaving, with the tiny program in its compute thread. */
export class SimulatedWorker {
  readonly number: number;
  readonly process: SimulatedProcess;
  readonly sickness: Sickness = { slowness: 1, hangs: false, spoil: null, fault: null };
  /** The authenticated connection, or null. */
  line: Line | null = null;
  /** Of the coordinator that it is, or was last, connected to. */
  traffic: Traffic | null = null;
  isComputing = false;
  readonly #world: World;
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
  }

  async #live(): Promise<void> {
    const { clock, name } = this.process;
    const thread = new ComputeHost({
      clock,
      startThread: (_threads, { onAnswer }) => new SimulatedThread(this.process, this.#execute, onAnswer),
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
      // Whoever looks after it starts another one.
      this.#world.replace(500);
    }
    this.process.kill();
  }

  async #connect(): Promise<WorkerSession> {
    const line = this.#world.dial(this.process);
    if (line === null) {
      throw new LockstepError('CONNECTION_LOST', 'nobody listens', { hint: 'It is tried again.' });
    }
    const [, end] = line.ends;
    const session = await authenticate(end, { token: this.#world.token, clock: this.process.clock });
    this.line = line;
    this.traffic = this.#world.life?.traffic ?? null;
    void end.closed.then(() => {
      if (this.line === line) this.line = null;
    });
    return session;
  }

  readonly #execute: Execute = async (kind, task, compute) => {
    this.isComputing = true;
    this.#world.beginShard(this, kind, task);
    if (this.sickness.hangs) {
      this.sickness.hangs = false;
      await new Promise<never>(() => {});
    }
    await this.process.sleep(this.#world.shardMs() * this.sickness.slowness);
    this.isComputing = false;
    const partial = compute();
    if (kind === 'train') this.sickness.spoil?.(partial);
    return partial;
  };
}
