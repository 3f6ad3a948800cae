import type { Logs } from './callbacks/callback.js';

/** A worker as people see it. */
export interface WorkerRow {
  readonly worker: number;
  readonly host: string;
  readonly pid: number;
  readonly backend: string;
  readonly device: string | null;
  readonly threads: number;
}

/**
 * What happens in a run, as plain data: a terminal draws it, a log writes it, a test reads it. Epochs and
 * batches count from 0; times are milliseconds.
 */
export type RunEvent =
  | {
      readonly type: 'start';
      readonly runId: string;
      readonly seed: number;
      readonly shards: number;
      readonly epochs: number;
      readonly batchSize: number;
      readonly samples: number | null;
      readonly stepsPerEpoch: number | null;
      readonly parameters: number;
      readonly resumedAtStep: number | null;
    }
  | { readonly type: 'worker-joined'; readonly worker: WorkerRow }
  | { readonly type: 'worker-lost'; readonly worker: number; readonly reason: string }
  | { readonly type: 'workers'; readonly workers: readonly WorkerRow[] }
  | { readonly type: 'waiting'; readonly reason: string }
  | { readonly type: 'notice'; readonly message: string }
  | { readonly type: 'warning'; readonly message: string }
  | {
      readonly type: 'epoch-begin';
      readonly epoch: number;
      readonly epochs: number;
      readonly steps: number | null;
    }
  | {
      readonly type: 'step';
      readonly epoch: number;
      readonly batch: number;
      /** Steps committed in the whole run, this one included. */
      readonly step: number;
      readonly rows: number;
      readonly stepMs: number;
      readonly logs: Logs;
      readonly workers: number;
    }
  | { readonly type: 'test-batch'; readonly batch: number; readonly batches: number | null }
  | { readonly type: 'predict-batch'; readonly batch: number; readonly batches: number | null }
  | {
      readonly type: 'epoch-end';
      readonly epoch: number;
      readonly epochs: number;
      readonly steps: number;
      readonly logs: Logs;
      readonly epochMs: number;
      readonly samplesPerSecond: number;
      readonly workers: number;
    }
  /** A checkpoint of `step` steps is about to be written; `checkpoint` follows when it is complete. */
  | { readonly type: 'saving'; readonly step: number }
  | { readonly type: 'checkpoint'; readonly path: string; readonly step: number }
  | { readonly type: 'stopping'; readonly reason: string }
  | {
      readonly type: 'end';
      readonly cause: 'done' | 'stopped-early' | 'signal';
      readonly step: number;
      readonly epochs: number;
      readonly seconds: number;
      readonly logs: Logs;
      readonly weightsSha256: string;
      readonly checkpoint: string | null;
      /** Why nobody can compute these bits again: workers that were admitted though they differ. Empty: one can. */
      readonly mixed: readonly string[];
    };

export type RunListener = (event: RunEvent) => void;
