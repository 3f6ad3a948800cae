import type { Clock } from '../../shared/clock.js';
import { invariant } from '../../shared/errors.js';
import type { WorkerTally } from '../round.js';
import type { RemoteWorker } from './remote-worker.js';

/** Tallies that are kept of workers that left; of those before, only the sum. */
const maxLeft = 1_000;

/** The workers that are connected, and what those did that have left. */
export class Roster {
  readonly #clock: Clock;
  readonly #here = new Map<number, RemoteWorker>();
  /** Of the last workers that left: over weeks many come and go. */
  #left: readonly WorkerTally[] = [];
  /** Shards that those computed that left before these. */
  #shardsOfForgotten = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  add(remote: RemoteWorker): void {
    this.#here.set(remote.worker, remote);
  }

  /** Takes out a worker that was marked as lost. */
  remove(remote: RemoteWorker): void {
    this.#here.delete(remote.worker);
    const tally = remote.tally(this.#clock.nowMs());
    if (tally === null) return;
    const left = [...this.#left, tally];
    for (const { shardsComputed } of left.slice(0, -maxLeft)) this.#shardsOfForgotten += shardsComputed;
    this.#left = left.slice(-maxLeft);
  }

  /** Copied: a worker may leave while something is done for all. */
  get here(): RemoteWorker[] {
    return [...this.#here.values()];
  }

  of(worker: number): RemoteWorker {
    const remote = this.#here.get(worker);
    invariant(remote !== undefined, `no worker ${worker}`);
    return remote;
  }

  /** Of all workers that ever were ready. */
  get shardsComputed(): number {
    return this.tallies().reduce((sum, { shardsComputed }) => sum + shardsComputed, this.#shardsOfForgotten);
  }

  /** The workers that were ready, by number: those that are here, and the last that left. */
  tallies(): WorkerTally[] {
    const here = this.here.flatMap((remote) => remote.tally(this.#clock.nowMs()) ?? []);
    return [...this.#left, ...here].sort((a, b) => a.row.worker - b.row.worker);
  }
}
