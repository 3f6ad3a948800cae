import type { Clock } from '../../shared/clock.js';
import type { Conductor } from '../conductor.js';
import { nameOfRound } from '../core/describe.js';
import type { Batch, TrainingBatch } from '../data/dataset.js';
import type { RoundOutcome, RoundPlan, WeightsVersion } from '../round.js';
import { RoundData } from '../server/round-data.js';
import { waitForData } from './data-wait.js';

export interface FeedOptions {
  readonly kind: 'train' | 'evaluate' | 'predict';
  readonly batchSize: number;
  readonly shards: number;
  /** Global step of the first batch. */
  readonly firstStep: number;
  /** Whether workers tell the digest of each shard's gradient. Default false. */
  readonly digest?: boolean;
  /** Which of the present shards of a step two workers must agree on. Default none. */
  readonly auditedShards?: (step: number, present: number) => readonly number[];
  /** What people call the batch of a step. Default `the batch`. */
  readonly nameOf?: (step: number) => string;
  /** Checks a batch and completes it (class weights) before it is sent. */
  readonly prepare: (batch: Batch) => Batch;
  /** Ends the wait for a batch at once. The batch that is being computed is not its concern. */
  readonly signal?: AbortSignal | null;
  /** Told, every now and then, what batch does not come. */
  readonly onWaiting?: (reason: string) => void;
}

/** How long a source may take to close. */
const closingMs = 5_000;

/** A batch whose turn it is. */
export interface Turn {
  readonly batch: TrainingBatch;
  /** Milliseconds the training loop waited for the data. */
  readonly dataMs: number;
  /** Computes it. Meanwhile the next batch is fetched and sent ahead. */
  run(weights: WeightsVersion): Promise<RoundOutcome>;
}

/**
 * Feeds batches to the workers, one at a time. Ends early, and closes the source, when the consumer stops, or when
 * the signal is aborted while it waits for a batch.
 */
export async function* feed(
  conductor: Conductor,
  batches: AsyncIterable<TrainingBatch>,
  options: FeedOptions,
): AsyncGenerator<Turn> {
  const { kind, batchSize, shards, firstStep, digest = false, prepare } = options;
  const { auditedShards = () => [], nameOf = () => 'the batch' } = options;
  const { signal = null, onWaiting = () => {} } = options;
  const iterator = batches[Symbol.asyncIterator]();
  let step = firstStep;
  const fetch = async (): Promise<{ batch: TrainingBatch; plan: RoundPlan } | null> => {
    const result = await iterator.next();
    if (result.done) return null;
    const { rows, batch, samples } = result.value;
    const data = new RoundData(prepare(batch), rows, batchSize, shards);
    const { present } = data.plan;
    const rowsPerShard = Math.ceil(batchSize / shards);
    const audited = auditedShards(step, present);
    const spec = { id: conductor.nextRoundId(), kind, step, shards, present, rowsPerShard, audited };
    const plan = { spec, name: nameOf(step), batchRows: rows, digest, data, indices: samples };
    step += 1;
    return { batch: result.value, plan };
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
      const what = `the data of ${nameOfRound({ kind, step })}`;
      const arrived = conductor.outside.begin(what);
      const wait = { what, signal, onWaiting, clock: conductor.clock };
      const waited = await waitForData(fetching, wait).finally(arrived);
      if (waited === 'aborted') return;
      const current = waited.value;
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
    await closed(iterator, conductor.clock);
  }
}

/** Closes a source, but waits no longer than `closingMs`: its user code may hang, and must not hold up the end. */
async function closed(iterator: AsyncIterator<unknown>, clock: Clock): Promise<void> {
  let cancel = (): void => {};
  const late = new Promise<void>((resolve) => {
    cancel = clock.after(closingMs, resolve);
  });
  try {
    await Promise.race([iterator.return?.(), late]);
  } finally {
    cancel();
  }
}
