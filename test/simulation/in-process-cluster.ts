import { pino } from 'pino';
import type { ClusterAccess } from '../../coordinator/cluster.js';
import { Conductor } from '../../coordinator/conductor.js';
import { defaultLimits, type RunLimits } from '../../coordinator/core/run.js';
import type { RunEvent, RunListener } from '../../coordinator/events.js';
import type { LoadedJob } from '../../coordinator/job.js';
import type { BackendChoice } from '../../shared/backends.js';
import { systemClock } from '../../shared/clock.js';
import { coordinatorSession } from '../../shared/protocol/session.js';
import { deriveSeed } from '../../shared/random.js';
import { createMemoryPair } from '../../shared/transport/memory.js';
import type { FromThread } from '../../worker/thread-messages.js';
import { InProcessWorker } from './in-process-worker.js';
import { SharedThread } from './shared-thread.js';
import { ShuffledDelivery } from './shuffled-delivery.js';

export interface InProcessClusterOptions {
  readonly workers: number;
  /** What the workers compute on; `cpu` unless it says otherwise. */
  readonly backend?: BackendChoice;
  /** The job file that all workers have. */
  readonly job?: LoadedJob;
  /** Decides which parcel arrives next and who computes next. */
  readonly seed?: number;
  readonly limits?: Partial<RunLimits>;
  readonly othersMayCome?: boolean;
  readonly allowMixed?: boolean;
  /** Sees every answer of a compute thread before it is sent. */
  readonly onAnswer?: (worker: InProcessWorker, answer: FromThread, cluster: InProcessCluster) => void;
}

/** The real conductor and real shard computers in one thread, joined by the in-memory transport. */
export class InProcessCluster {
  readonly access: ClusterAccess;
  readonly workers: InProcessWorker[] = [];
  readonly events: RunEvent[] = [];
  readonly #delivery: ShuffledDelivery;
  readonly #thread: SharedThread;
  readonly #options: InProcessClusterOptions;

  constructor(options: InProcessClusterOptions) {
    const { seed = 0, workers, limits, backend = 'cpu' } = options;
    this.#options = options;
    this.#delivery = new ShuffledDelivery(deriveSeed(seed, 'test', 0));
    this.#thread = new SharedThread(deriveSeed(seed, 'test', 1));
    const listeners = new Set<RunListener>([(event) => this.events.push(event)]);
    const emit: RunListener = (event) => {
      for (const listener of listeners) listener(event);
    };
    const conductor = new Conductor({
      othersMayCome: options.othersMayCome ?? false,
      allowMixed: options.allowMixed ?? false,
      clock: systemClock,
      limits: { ...defaultLimits, ...limits },
      onEvent: emit,
      log: pino({ level: 'silent' }),
    });
    this.access = {
      conductor,
      workers,
      joinTimeoutMs: 10_000,
      faults: null,
      options: { backend, ...(options.job === undefined ? {} : { job: options.job }) },
      emit,
      subscribe(listener) {
        listeners.add(listener);
        return () => listeners.delete(listener);
      },
    };
    for (let i = 0; i < workers; i++) this.join();
  }

  /** Adds a worker, also in the middle of a run. */
  join(): InProcessWorker {
    const worker = this.workers.length;
    const pair = createMemoryPair({ schedule: this.#delivery.schedule });
    const run = 'simulation';
    const joined = new InProcessWorker({
      worker,
      run,
      pair,
      thread: this.#thread,
      jobPath: this.#options.job?.path ?? null,
      onAnswer: (from, answer) => this.#options.onAnswer?.(from, answer, this),
    });
    this.workers.push(joined);
    this.access.conductor.add(
      coordinatorSession(pair.ends[0], { run, term: 1, worker, incarnation: worker }),
    );
    return joined;
  }

  get here(): InProcessWorker[] {
    return this.workers.filter(({ isHere }) => isHere);
  }

  close(): void {
    this.access.conductor.close('the test is over');
  }
}
