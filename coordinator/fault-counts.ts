import type { Order } from './core/split.js';

/** A worker that computed wrong numbers. */
export interface ExcludedWorker {
  readonly worker: number;
  readonly host: string;
  /** Where it was found out. */
  readonly step: number;
  readonly shard: number;
}

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
  readonly excluded: ExcludedWorker[] = [];

  order(why: Order['why'], shards: number): void {
    if (why === 'duplicate') this.duplicated += shards;
    if (why === 'audit' || why === 'confirm') this.audited += shards;
  }
}
