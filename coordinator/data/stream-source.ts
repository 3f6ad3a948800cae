import { createHash, type Hash } from 'node:crypto';
import { z } from 'zod';
import { LockstepError } from '../../shared/errors.js';
import type { Json } from '../../shared/json.js';
import { deriveSeed, Random } from '../../shared/random.js';
import { bytesOf } from '../../shared/tensors.js';
import type { BatchSource, StreamDataset, StreamRecord } from './dataset.js';
import { stackRecords } from './stack-records.js';

export interface StreamSourceOptions {
  readonly batchSize: number;
  readonly seed: number;
  /** Records within which the order is shuffled; 1 keeps the stream's order. */
  readonly shuffleBuffer: number;
  /** Ends an epoch after so many batches. */
  readonly stepsPerEpoch?: number;
}

/** Records read from the stream and given out in batches, and the SHA-256 of what was read. */
const cursorSchema = z.strictObject({
  read: z.int().nonnegative(),
  given: z.int().nonnegative(),
  sha256: z.string(),
});

/**
 * Batches of a stream, shuffled within a buffer by a generator that follows from seed and epoch; the last batch
 * of an epoch may be smaller. A resume reads the stream again from its beginning up to the cursor, since the
 * buffer may hold any record, and checks that it read the same bytes.
 */
export function streamSource(
  stream: StreamDataset,
  { batchSize, seed, shuffleBuffer, stepsPerEpoch }: StreamSourceOptions,
): BatchSource {
  if (!(Number.isInteger(shuffleBuffer) && shuffleBuffer >= 1)) {
    throw new LockstepError(
      'BAD_OPTION',
      `shuffleBuffer is ${shuffleBuffer}, expected a whole number of at least 1`,
      {
        hint: '1,024 is a good start; 1 keeps the order of the stream.',
      },
    );
  }
  if (stepsPerEpoch !== undefined && !(Number.isInteger(stepsPerEpoch) && stepsPerEpoch >= 1)) {
    throw new LockstepError(
      'BAD_OPTION',
      `stepsPerEpoch is ${stepsPerEpoch}, expected a whole number of at least 1`,
      { hint: 'Leave it out to read the stream to its end.' },
    );
  }
  const batches = stream.length === undefined ? null : Math.ceil(stream.length / batchSize);
  if (stepsPerEpoch !== undefined && batches !== null && stepsPerEpoch > batches) {
    throw tooManySteps(stepsPerEpoch, batches);
  }
  const limit = stepsPerEpoch ?? Number.POSITIVE_INFINITY;
  return {
    stepsPerEpoch: stepsPerEpoch ?? batches,
    batchSize,
    async *open(epoch, cursor) {
      const shuffled = new ShuffledStream(
        stream.open(epoch),
        shuffleBuffer,
        deriveSeed(seed, 'shuffle', epoch),
      );
      try {
        if (cursor !== null) await shuffled.skipTo(cursor);
        while (shuffled.given < limit * batchSize) {
          const records = await shuffled.take(batchSize);
          if (records.length === 0) {
            requireWhole(shuffled.given, { batchSize, stepsPerEpoch, length: stream.length });
            return;
          }
          yield {
            batch: stackRecords(records.map(({ record }) => record)),
            rows: records.length,
            samples: Float64Array.from(records, ({ number }) => number),
            cursor: shuffled.cursor(),
          };
        }
      } finally {
        await shuffled.close();
      }
    },
  };
}

/** Checks an epoch that ended with the stream, after so many records. */
function requireWhole(
  records: number,
  { batchSize, stepsPerEpoch, length }: { batchSize: number; stepsPerEpoch?: number; length?: number },
): void {
  if (records === 0) {
    throw new LockstepError('DATA_EMPTY', 'the stream holds no records', {
      hint: 'Look at what open(epoch) reads.',
    });
  }
  const batches = Math.ceil(records / batchSize);
  if (stepsPerEpoch !== undefined && batches < stepsPerEpoch) {
    throw tooManySteps(stepsPerEpoch, batches);
  }
  if (length !== undefined && records < length && stepsPerEpoch === undefined) {
    throw new LockstepError('DATA_CORRUPT', `the stream ended after ${records} records of ${length}`, {
      hint: 'Correct the length of the stream, or leave it out.',
    });
  }
}

function tooManySteps(stepsPerEpoch: number, batches: number): LockstepError {
  return new LockstepError(
    'BAD_OPTION',
    `stepsPerEpoch is ${stepsPerEpoch}, the stream ends after ${batches} batches`,
    { hint: `Use at most ${batches}, or leave it out.` },
  );
}

/** A record, and which one of the stream it is, from 0. */
interface NumberedRecord {
  readonly record: StreamRecord;
  readonly number: number;
}

class ShuffledStream {
  readonly #records: AsyncIterator<StreamRecord>;
  readonly #capacity: number;
  readonly #random: Random;
  readonly #buffer: NumberedRecord[] = [];
  readonly #hash: Hash = createHash('sha256');
  #read = 0;
  #given = 0;
  #ended = false;

  constructor(records: AsyncIterable<StreamRecord>, capacity: number, seed: number) {
    this.#records = records[Symbol.asyncIterator]();
    this.#capacity = capacity;
    this.#random = new Random(seed);
  }

  get given(): number {
    return this.#given;
  }

  cursor(): Json {
    return { read: this.#read, given: this.#given, sha256: this.#hash.copy().digest('hex') };
  }

  /** Up to `count` records: fewer only at the end of the stream. */
  async take(count: number): Promise<NumberedRecord[]> {
    const taken: NumberedRecord[] = [];
    while (taken.length < count) {
      const record = await this.#next();
      if (record === null) break;
      taken.push(record);
    }
    return taken;
  }

  /** @throws LockstepError CHECKPOINT_MISMATCH if the stream is not what it was */
  async skipTo(cursor: Json): Promise<void> {
    const { data } = cursorSchema.safeParse(cursor);
    const given = data?.given ?? 0;
    while (this.#given < given && (await this.#next()) !== null);
    if (data !== undefined && JSON.stringify(this.cursor()) === JSON.stringify(data)) return;
    throw new LockstepError(
      'CHECKPOINT_MISMATCH',
      `the first ${data?.read ?? 0} records of the stream are not those the run was trained on`,
      {
        hint: 'Give the stream the run was started with: open(epoch) must repeat the same records.',
      },
    );
  }

  async close(): Promise<void> {
    if (!this.#ended) await this.#records.return?.();
    this.#ended = true;
  }

  /** The next record of the shuffled order, or null at the end. */
  async #next(): Promise<NumberedRecord | null> {
    await this.#fill();
    if (this.#buffer.length === 0) return null;
    const at = this.#random.below(this.#buffer.length);
    const record = this.#buffer[at];
    const last = this.#buffer.pop() as NumberedRecord;
    if (at < this.#buffer.length) this.#buffer[at] = last;
    this.#given += 1;
    return record;
  }

  async #fill(): Promise<void> {
    while (!this.#ended && this.#buffer.length < this.#capacity) {
      const { done, value } = await this.#records.next();
      if (done) {
        this.#ended = true;
        return;
      }
      const number = this.#read++;
      const record: StreamRecord = value;
      for (const { data } of [...record.x, ...record.y]) this.#hash.update(bytesOf(data));
      if (record.sampleWeights !== undefined)
        this.#hash.update(bytesOf(Float64Array.from(record.sampleWeights)));
      this.#buffer.push({ record, number });
    }
  }
}
