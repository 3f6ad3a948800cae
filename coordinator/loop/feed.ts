import type { Conductor } from '../conductor.js';
import type { Batch, TrainingBatch } from '../data/dataset.js';
import type { RoundOutcome, RoundPlan, WeightsVersion } from '../round.js';
import { RoundData } from '../server/round-data.js';

export interface FeedOptions {
  readonly kind: 'train' | 'evaluate' | 'predict';
  readonly batchSize: number;
  readonly shards: number;
  /** Global step of the first batch. */
  readonly firstStep: number;
  /** Whether workers tell the digest of each shard's gradient. Default false. */
  readonly digest?: boolean;
  /** Checks a batch and completes it (class weights) before it is sent. */
  readonly prepare: (batch: Batch) => Batch;
}

/** A batch whose turn it is. */
export interface Turn {
  readonly batch: TrainingBatch;
  /** Milliseconds the training loop waited for the data. */
  readonly dataMs: number;
  /** Computes it. Meanwhile the next batch is fetched and sent ahead. */
  run(weights: WeightsVersion): Promise<RoundOutcome>;
}

/**
 * Feeds batches to the workers, one at a time. Ends early, and closes the source, when the consumer stops.
 */
export async function* feed(
  conductor: Conductor,
  batches: AsyncIterable<TrainingBatch>,
  { kind, batchSize, shards, firstStep, digest = false, prepare }: FeedOptions,
): AsyncGenerator<Turn> {
  const iterator = batches[Symbol.asyncIterator]();
  let step = firstStep;
  const fetch = async (): Promise<{ batch: TrainingBatch; plan: RoundPlan } | null> => {
    const result = await iterator.next();
    if (result.done) return null;
    const { rows, batch } = result.value;
    const data = new RoundData(prepare(batch), rows, batchSize, shards);
    const spec = { id: conductor.nextRoundId(), kind, shards, present: data.plan.present };
    return { batch: result.value, plan: { spec, step: step++, batchRows: rows, digest, data } };
  };
  const fetchAhead = async (): ReturnType<typeof fetch> => {
    const next = await fetch();
    if (next !== null) conductor.prefetch(next.plan);
    return next;
  };
  let fetching: ReturnType<typeof fetch> = fetch();
  try {
    for (;;) {
      const startedMs = performance.now();
      const current = await fetching;
      if (current === null) return;
      const dataMs = performance.now() - startedMs;
      yield {
        batch: current.batch,
        dataMs,
        run(weights) {
          const outcome = conductor.run({ ...current.plan, weights });
          fetching = fetchAhead();
          // An error of the data surfaces when its turn comes: the present batch is finished first.
          fetching.catch(() => {});
          return outcome;
        },
      };
    }
  } finally {
    await iterator.return?.();
  }
}
