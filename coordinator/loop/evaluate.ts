import { invariant } from '../../shared/errors.js';
import type { ProgramSpec } from '../../shared/program.js';
import { RunningLogs } from '../../shared/sums.js';
import { concatRows, type HostTensor } from '../../shared/tensors.js';
import type { Logs } from '../callbacks/callback.js';
import type { Conductor } from '../conductor.js';
import type { Batch, BatchSource } from '../data/dataset.js';
import type { WeightsVersion } from '../round.js';
import { feed } from './feed.js';

export interface EvaluationRequest {
  readonly source: BatchSource;
  readonly shards: number;
  /** Lent from the first batch to the last: callbacks may set others meanwhile, and workers that come late get these. */
  readonly weights: WeightsVersion;
  readonly prepare: (batch: Batch) => Batch;
  /** Asked after every batch. */
  readonly isInterrupted?: () => boolean;
  /** Ends the wait for a batch's data; `isInterrupted` must then say so. */
  readonly signal?: AbortSignal | null;
  /** Told, every now and then, what data does not come. */
  readonly onWaiting?: (reason: string) => void;
  readonly onBatchBegin?: (batch: number) => void | Promise<void>;
  readonly onBatchEnd?: (batch: number, logs: Logs) => void | Promise<void>;
}

/**
 * Losses and metrics of the whole source in inference mode. Batches, shards and sums do not depend on the
 * workers, so neither does any bit of the result. Null if it was interrupted.
 */
export async function evaluateSource(
  conductor: Conductor,
  program: ProgramSpec,
  request: EvaluationRequest,
): Promise<Record<string, number> | null> {
  const { source, shards, weights, prepare, isInterrupted, onBatchBegin, onBatchEnd } = request;
  const totals = new RunningLogs(program);
  const { batchSize } = source;
  let batch = 0;
  const { signal = null, onWaiting = () => {} } = request;
  const options = { kind: 'evaluate' as const, batchSize, shards, firstStep: 0, prepare, signal, onWaiting };
  const release = weights.lend();
  try {
    for await (const turn of feed(conductor, source.open(0, null), options)) {
      await onBatchBegin?.(batch);
      const { sum } = await turn.run(weights);
      invariant(sum !== null, 'an evaluation without a sum');
      totals.add(sum.sums, sum.scores, turn.batch.rows);
      await onBatchEnd?.(batch, totals.logs({ ranked: false }));
      if (isInterrupted?.()) return null;
      batch += 1;
    }
  } finally {
    release();
  }
  // The wait for a batch ended without one.
  if (isInterrupted?.()) return null;
  return totals.logs();
}

/** The model's outputs for all rows of the source, in inference mode: one tensor per output. */
export async function predictSource(
  conductor: Conductor,
  { source, shards, weights, prepare, onWaiting = () => {}, onBatchBegin, onBatchEnd }: EvaluationRequest,
): Promise<HostTensor[]> {
  const parts: (readonly HostTensor[])[] = [];
  const { batchSize } = source;
  let batch = 0;
  const options = { kind: 'predict' as const, batchSize, shards, firstStep: 0, prepare, onWaiting };
  const release = weights.lend();
  try {
    for await (const turn of feed(conductor, source.open(0, null), options)) {
      await onBatchBegin?.(batch);
      parts.push(...(await turn.run(weights)).outputs);
      await onBatchEnd?.(batch, {});
      batch += 1;
    }
  } finally {
    release();
  }
  invariant(parts.length > 0, 'a prediction of nothing');
  return parts[0].map((_, output) => concatRows(parts.map((tensors) => tensors[output])));
}
