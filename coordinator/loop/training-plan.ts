import type { ProgramSpec } from '../../shared/program.js';
import type { Callback } from '../callbacks/callback.js';
import type { Snapshot } from '../checkpoint/snapshot.js';
import type { Batch, BatchSource } from '../data/dataset.js';
import type { RunListener } from '../events.js';
import type { Receipts } from '../receipts/receipts.js';
import type { ModelState } from './model-state.js';
import type { RunCheckpoints } from './run-checkpoints.js';

/** What to do about a step whose loss, gradient or batch statistics hold NaN or Inf. */
export type NonFinitePolicy = 'stop' | 'skip';

/** Everything a training run needs, resolved: nothing in it is optional or to be looked up. */
export interface TrainingPlan {
  readonly runId: string;
  readonly program: ProgramSpec;
  /** What a resume must not change, for the checkpoint. */
  readonly settings: Snapshot['run']['settings'];
  readonly state: ModelState;
  readonly source: BatchSource;
  /** Rows per epoch, or null where a stream does not say. */
  readonly samples: number | null;
  readonly validation: BatchSource | null;
  /** Epochs after which to validate: every so many, or those listed (counted from 1, as Keras does). */
  readonly validationFreq: number | readonly number[];
  /** Checks a training batch and completes it with class weights. */
  readonly prepare: (batch: Batch) => Batch;
  readonly prepareValidation: (batch: Batch) => Batch;
  readonly initialEpoch: number;
  readonly epochs: number;
  readonly shards: number;
  readonly seed: number;
  /** The share of shards that two workers compute, to compare their bits; from 0 to 1. */
  readonly auditFraction: number;
  readonly callbacks: readonly Callback[];
  readonly checkpoints: RunCheckpoints | null;
  /** Where to continue, or null to begin. */
  readonly resume: Snapshot | null;
  /** Stop, without an end of the epoch, once so many steps are committed; null for no limit. */
  readonly maxSteps: number | null;
  readonly signal: AbortSignal | null;
  /** How long the step in flight may go on once the signal is aborted. */
  readonly graceMs: number;
  readonly onEvent: RunListener;
  readonly onNonFinite: NonFinitePolicy;
  /** Null without a run folder. */
  readonly receipts: Receipts | null;
}

/** Where a run stands between two steps. */
export interface Position {
  readonly step: number;
  readonly epoch: number;
  /** Batches of the open epoch that are committed. */
  readonly batch: number;
  readonly cursor: Snapshot['run']['cursor'];
  readonly samplesSeen: number;
  /** Whether a callback ended the training. */
  readonly stopped: boolean;
  /** Steps that were not finite and skipped, counted from 1. */
  readonly skippedSteps: readonly number[];
}
