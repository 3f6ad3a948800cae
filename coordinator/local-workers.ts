import { type ChildProcess, fork } from 'node:child_process';
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { Clock } from '../shared/clock.js';
import { messageOf } from '../shared/errors.js';
import { type LocalWorkerConfig, localWorkerReport } from '../shared/local-worker.js';
import type { SharedMemory } from '../shared/transport/shared-memory.js';
import { afterDeath, type RespawnLimits } from './core/respawn.js';
import type { MemoryFiles } from './memory-files.js';

/** How long a worker may take to leave after goodbye before it is ended. */
const graceMs = 5_000;

export interface LocalWorkersOptions {
  readonly config: Omit<LocalWorkerConfig, 'memory'>;
  /** Called with each new process; gives what is to be different in its configuration. */
  readonly adopt?: (child: ChildProcess) => Promise<Partial<LocalWorkerConfig>>;
  /** Gives the memory that a new process shares with this one, or null for none. Default: none. */
  readonly openMemory?: () => MemoryFiles | null;
  /** A process has joined as a worker, also again, with another number. */
  readonly onJoined?: (worker: number, memory: SharedMemory) => void;
  readonly clock: Clock;
  readonly respawn: RespawnLimits;
  /** Asked when a worker ended: a run that has failed sends its workers away, and wants no others. */
  readonly isWanted: () => boolean;
  /** Called when a worker ended and is replaced after `delayMs`. */
  readonly onRespawn: (reason: string, delayMs: number) => void;
  /** Called when a worker ended and is not replaced. */
  readonly onGone: (reason: string) => void;
}

/** What one of the workers asked for has come to; whoever computes in its place has the same seat. */
interface Seat {
  readonly deaths: readonly number[];
}

/** A process, as far as it is known. */
interface Child {
  /** The number that its connection was given last; null before the first. */
  worker: number | null;
  /** Why it is ended; null while it is not. */
  ending: string | null;
}

/**
 * Worker processes on this machine. They are told what to join over their parent's channel, end when that
 * closes, and are replaced when they end by themselves.
 */
export class LocalWorkers {
  readonly #options: LocalWorkersOptions;
  readonly #children = new Map<ChildProcess, Child>();
  readonly #timers = new Set<() => void>();
  #closing = false;

  constructor(options: LocalWorkersOptions) {
    this.#options = options;
  }

  start(count: number): void {
    for (let i = 0; i < count; i++) this.#spawn({ deaths: [] });
  }

  /**
   * Ends the process of a worker that the run has sent away: it may hang, and whoever comes in its place is not kept
   * waiting for it. One that has joined again since, with another number, stays.
   */
  end(worker: number, reason: string): void {
    for (const [child, state] of this.#children) {
      if (state.worker !== worker) continue;
      state.ending = reason;
      child.kill('SIGKILL');
    }
  }

  /** Ends all workers; resolves when the last process has ended. Call it after goodbye was said. */
  async close(): Promise<void> {
    this.#closing = true;
    for (const cancel of this.#timers) cancel();
    this.#timers.clear();
    const exits = [...this.#children.keys()].map(
      (child) =>
        new Promise<void>((resolve) => {
          if (child.exitCode !== null || child.signalCode !== null) return resolve();
          const timer = setTimeout(() => child.kill('SIGKILL'), graceMs);
          child.once('exit', () => {
            clearTimeout(timer);
            resolve();
          });
          if (child.connected) child.disconnect();
        }),
    );
    await Promise.all(exits);
  }

  #spawn(seat: Seat): void {
    const memory = this.#options.openMemory?.() ?? null;
    const child = fork(workerEntry(), [], {
      // A worker's own words go to stderr; stdout belongs to the coordinator.
      stdio: ['ignore', 'ignore', 'inherit', 'ipc', ...(memory?.descriptors ?? [])],
    });
    const state: Child = { worker: null, ending: null };
    this.#children.set(child, state);
    child.on('message', (message) => {
      const report = localWorkerReport.safeParse(message).data;
      if (report === undefined) return;
      state.worker = report.worker;
      if (memory !== null) this.#options.onJoined?.(report.worker, memory.memory);
    });
    child.once('exit', (code, signal) => {
      memory?.close();
      this.#children.delete(child);
      const how = signal === null ? `code ${code}` : signal;
      const { worker, ending } = state;
      const ended = ending === null ? `ended with ${how}` : `was ended with worker ${worker} (${ending})`;
      this.#replace(seat, `worker process ${child.pid ?? 0} ${ended}`);
    });
    child.on('error', (error) => {
      // One that runs has its exit still to come; this is a message that it died too early to read.
      if (child.pid !== undefined) return;
      memory?.close();
      this.#children.delete(child);
      this.#replace(seat, `a worker process could not be started: ${error.message}`);
    });
    if (child.pid !== undefined) this.#configure(child, memory !== null);
  }

  #configure(child: ChildProcess, sharesMemory: boolean): void {
    const { adopt } = this.#options;
    const config: LocalWorkerConfig = { ...this.#options.config, memory: sharesMemory };
    if (adopt === undefined) return void child.send(config);
    adopt(child).then(
      (own) => void (child.connected && child.send({ ...config, ...own })),
      // Without its configuration it cannot join: it is replaced, as if it had ended by itself.
      (error: unknown) => {
        process.emitWarning(messageOf(error));
        child.kill('SIGKILL');
      },
    );
  }

  #replace(seat: Seat, reason: string): void {
    const { clock, respawn, isWanted, onRespawn, onGone } = this.#options;
    if (this.#closing || !isWanted()) return;
    const { deaths, delayMs } = afterDeath(seat.deaths, clock.nowMs(), respawn);
    if (delayMs === null) {
      const minutes = Math.round(respawn.windowMs / 60_000);
      return onGone(`${reason}, the ${deaths.length}th time in ${minutes} minutes`);
    }
    onRespawn(reason, delayMs);
    const cancel = clock.after(delayMs, () => {
      this.#timers.delete(cancel);
      if (isWanted()) this.#spawn({ deaths });
    });
    this.#timers.add(cancel);
  }
}

/** The compiled worker, also when the coordinator itself runs from source. */
function workerEntry(): string {
  const compiled = [
    new URL('../worker/main.js', import.meta.url),
    new URL('../dist/worker/main.js', import.meta.url),
  ];
  const entry = compiled.map((url) => fileURLToPath(url)).find((path) => existsSync(path));
  return entry ?? fileURLToPath(compiled[0]);
}
