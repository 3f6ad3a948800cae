import { type ChildProcess, fork } from 'node:child_process';
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { messageOf } from '../shared/errors.js';
import type { LocalWorkerConfig } from '../shared/local-worker.js';

/** How long a worker may take to leave after goodbye before it is ended. */
const graceMs = 5_000;

export interface LocalWorkersOptions {
  readonly config: LocalWorkerConfig;
  /** Called with each new process; gives what is to be different in its configuration. */
  readonly adopt?: (child: ChildProcess) => Promise<Partial<LocalWorkerConfig>>;
  /** How often, in all, a worker that ended by itself is replaced. */
  readonly maxRespawns: number;
  /** Asked when a worker ended: a run that has failed sends its workers away, and wants no others. */
  readonly isWanted: () => boolean;
  readonly onRespawn: (pid: number, reason: string, left: number) => void;
  /** Called when a worker ended and is not replaced. */
  readonly onGone: (reason: string) => void;
}

/**
 * Worker processes on this machine. They are told what to join over their parent's channel, end when that
 * closes, and are replaced when they end by themselves.
 */
export class LocalWorkers {
  readonly #options: LocalWorkersOptions;
  readonly #children = new Set<ChildProcess>();
  #respawnsLeft: number;
  #closing = false;

  constructor(options: LocalWorkersOptions) {
    this.#options = options;
    this.#respawnsLeft = options.maxRespawns;
  }

  start(count: number): void {
    for (let i = 0; i < count; i++) this.#spawn();
  }

  /** Ends all workers; resolves when the last process has ended. Call it after goodbye was said. */
  async close(): Promise<void> {
    this.#closing = true;
    const exits = [...this.#children].map(
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

  #spawn(): void {
    const child = fork(workerEntry(), [], {
      // A worker's own words go to stderr; stdout belongs to the coordinator.
      stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
    });
    this.#children.add(child);
    child.once('exit', (code, signal) => {
      this.#children.delete(child);
      if (!this.#closing) this.#replace(child.pid ?? 0, signal === null ? `code ${code}` : signal);
    });
    child.on('error', (error) => {
      // One that runs has its exit still to come; this is a message that it died too early to read.
      if (child.pid !== undefined) return;
      this.#children.delete(child);
      if (!this.#closing) this.#options.onGone(error.message);
    });
    if (child.pid !== undefined) this.#configure(child);
  }

  #configure(child: ChildProcess): void {
    const { config, adopt } = this.#options;
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

  #replace(pid: number, how: string): void {
    if (!this.#options.isWanted()) return;
    const reason = `worker process ${pid} ended with ${how}`;
    if (this.#respawnsLeft === 0) return this.#options.onGone(reason);
    this.#respawnsLeft -= 1;
    this.#options.onRespawn(pid, reason, this.#respawnsLeft);
    this.#spawn();
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
