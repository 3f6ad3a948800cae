import type { Digest } from '../shared/digest.js';
import type { ShardPartial } from '../shared/partial.js';
import type { ToWorkerOf } from '../shared/protocol/to-worker.js';
import type { HostTensor } from '../shared/tensors.js';
import type { RoundSpec } from './core/round.js';
import type { WorkerRow } from './events.js';
import type { RunReference } from './server/admission.js';
import type { ResultShape } from './server/incoming.js';
import type { RoundData } from './server/round-data.js';
import type { Hours } from './server/working-hours.js';

/** What workers are told to build, and what their results must look like. */
export interface ProgramSetup {
  readonly message: Omit<ToWorkerOf<'setup'>, 'type'>;
  readonly resultShape: ResultShape;
  /** What a run that goes on was computed with; null for one that begins. */
  readonly reference: RunReference | null;
}

/** float32[totalSize] that does not change while a round uses it, or while it is lent. */
export interface WeightsVersion {
  readonly version: number;
  readonly flat: Float32Array;
  /** Keeps `flat` as it is until what it gives is called: a worker may get it later than others end the round. */
  lend(): () => void;
}

/** A batch to be computed; its data can be sent ahead, before the weights are known. */
export interface RoundPlan {
  readonly spec: RoundSpec;
  /** What people call the batch: `batch 5 of epoch 1`. */
  readonly name: string;
  readonly batchRows: number;
  /** Whether workers tell the digests of each shard's own gradient. */
  readonly digest: boolean;
  readonly data: RoundData;
  /** Which rows of the dataset the batch holds, in its order; null where the data does not say. */
  readonly indices: Float64Array | null;
}

/** One round of work: a batch under one version of the weights. */
export interface RoundRequest extends RoundPlan {
  readonly weights: WeightsVersion;
}

export interface RoundOutcome {
  /** The sum over all present shards; null for a prediction. */
  readonly sum: ShardPartial | null;
  /** A prediction's outputs for all rows, by shard range in order; empty otherwise. */
  readonly outputs: readonly (readonly HostTensor[])[];
  /** Of each shard's own gradient, if asked for: a digest per trainable variable, in manifest order. */
  readonly digests: ReadonlyMap<number, readonly Digest[]>;
  /** From the first order to the last partial. */
  readonly roundMs: number;
  /** The longest time that one worker computed in this round. */
  readonly computeMs: number;
  /** What the coordinator spent on handing weights, data and orders to the transport. */
  readonly broadcastMs: number;
  /** What the coordinator spent on adding partials. */
  readonly reduceMs: number;
}

/** What a worker has done so far. */
export interface WorkerTally {
  readonly row: WorkerRow;
  readonly shardsComputed: number;
  readonly hours: Hours;
  /** Why it left; null while it is here. */
  readonly lost: string | null;
}
