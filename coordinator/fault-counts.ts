import type { Order } from './core/split.js';

/** A worker that computed wrong numbers. */
export interface ExcludedWorker {
  readonly worker: number;
  readonly host: string;
  /** Where it was found out. */
  readonly step: number;
  readonly shard: number;
}

const maxListed = 100;

/** What a cluster computed beyond every shard once, and why. */
export class FaultCounts {
  /** Shards ordered again because those who held them were lost or excluded. */
  recomputed = 0;
  /** Shards ordered from another worker as well because whoever had them took too long. */
  duplicated = 0;
  /** Shards ordered once more to compare what comes of them: audits, and confirmations of what is doubtful. */
  audited = 0;
  /** Units for which two workers gave other bits. */
  disagreements = 0;
  /** Workers that computed wrong numbers. */
  workersExcluded = 0;
  #excluded: readonly ExcludedWorker[] = [];

  /** The last of them, at most a hundred: a machine that is sick for weeks may be started again and again. */
  get excluded(): readonly ExcludedWorker[] {
    return this.#excluded;
  }

  exclude(worker: ExcludedWorker): void {
    this.workersExcluded += 1;
    this.#excluded = [...this.#excluded, worker].slice(-maxListed);
  }

  order(why: Order['why'], shards: number): void {
    if (why === 'duplicate') this.duplicated += shards;
    if (why === 'audit' || why === 'confirm') this.audited += shards;
  }
}
