import type { Clock } from '../../shared/clock.js';
import { invariant } from '../../shared/errors.js';
import type { WorkerTally } from '../round.js';
import type { RemoteWorker } from './remote-worker.js';

/** The workers that are connected, and what those did that have left. */
export class Roster {
  readonly #clock: Clock;
  readonly #here = new Map<number, RemoteWorker>();
  /** Of a worker that left only this is kept: over weeks many come and go. */
  readonly #left: WorkerTally[] = [];

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
    if (tally !== null) this.#left.push(tally);
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

  /** All workers that ever were ready, by number. */
  tallies(): WorkerTally[] {
    const here = this.here.flatMap((remote) => remote.tally(this.#clock.nowMs()) ?? []);
    return [...this.#left, ...here].sort((a, b) => a.row.worker - b.row.worker);
  }
}
