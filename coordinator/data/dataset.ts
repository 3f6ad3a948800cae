import type { Json } from '../../shared/json.js';
import type { HostTensor } from '../../shared/tensors.js';

/** Rows of data. Every tensor's first axis is the row. One `y` per model output, one `x` per model input. */
export interface Batch {
  readonly x: readonly HostTensor[];
  readonly y: readonly HostTensor[];
  /** One per output: float32[rows], or null for weight 1 everywhere. Absent: no weights at all. */
  readonly sampleWeights?: readonly (HostTensor | null)[];
}

/** A dataset with random access: the trainer shuffles it by a seeded permutation per epoch. */
export interface Dataset {
  /** Rows. */
  readonly length: number;
  /** Whether reading all rows is cheap: then they are all checked before training. Default false. */
  readonly inMemory?: boolean;
  /** The rows named by `indices`, in that order. In arrays of their own: they are sent without being copied. */
  batch(indices: Int32Array): Batch | Promise<Batch>;
}

/** One row of a stream: tensors without the row axis. */
export interface StreamRecord {
  readonly x: readonly HostTensor[];
  readonly y: readonly HostTensor[];
  readonly sampleWeights?: readonly number[];
}

/**
 * A dataset that can only be read in order. `open` must give the same records for the same epoch each time it
 * is called: a resume reopens the epoch and skips what was consumed.
 */
export interface StreamDataset {
  open(epoch: number): AsyncIterable<StreamRecord>;
  /** Records per epoch, if known; progress bars show it. */
  readonly length?: number;
}

/** A global batch on its way to the workers. */
export interface TrainingBatch {
  readonly batch: Batch;
  readonly rows: number;
  /** Which samples these are: rows of the dataset, or records of the stream in the order of reading, from 0. */
  readonly samples: Float64Array;
  /** Where the epoch stands after this batch; `BatchSource.open` continues from it. */
  readonly cursor: Json;
}

/** Cuts an epoch into global batches. The same seed and epoch give the same batches. */
export interface BatchSource {
  /** Batches per epoch, or null where a stream does not say. */
  readonly stepsPerEpoch: number | null;
  readonly batchSize: number;
  /**
   * The batches of an epoch, from the beginning or from where `cursor` points.
   * @throws LockstepError CHECKPOINT_MISMATCH if the data before the cursor is not what it was
   */
  open(epoch: number, cursor: Json | null): AsyncIterable<TrainingBatch>;
}
