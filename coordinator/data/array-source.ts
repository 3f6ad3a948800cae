import { z } from 'zod';
import { LockstepError } from '../../shared/errors.js';
import type { Json } from '../../shared/json.js';
import { deriveSeed, Random } from '../../shared/random.js';
import type { BatchSource, Dataset } from './dataset.js';

export interface ArraySourceOptions {
  readonly batchSize: number;
  readonly seed: number;
  /** Whether each epoch has an order of its own, that follows from seed and epoch. */
  readonly shuffle: boolean;
  /** Ends an epoch after so many batches. */
  readonly stepsPerEpoch?: number;
}

/**
 * Batches of a dataset with random access; the last one of an epoch may be smaller. The cursor is the number of
 * rows consumed, and of how many, since the order follows from that: a resume does not read them again.
 * @throws LockstepError BAD_OPTION if an epoch has fewer batches than `stepsPerEpoch`
 */
export function arraySource(
  dataset: Dataset,
  { batchSize, seed, shuffle, stepsPerEpoch }: ArraySourceOptions,
): BatchSource {
  const { length } = dataset;
  const batches = Math.ceil(length / batchSize);
  if (
    stepsPerEpoch !== undefined &&
    !(Number.isInteger(stepsPerEpoch) && 1 <= stepsPerEpoch && stepsPerEpoch <= batches)
  ) {
    throw new LockstepError(
      'BAD_OPTION',
      `stepsPerEpoch is ${stepsPerEpoch}, an epoch of the data has ${batches} batches`,
      {
        hint: `Use 1 to ${batches}, or a smaller batch size.`,
      },
    );
  }
  const steps = stepsPerEpoch ?? batches;
  const end = Math.min(length, steps * batchSize);

  return {
    stepsPerEpoch: steps,
    batchSize,
    async *open(epoch, cursor) {
      const order = shuffle
        ? new Random(deriveSeed(seed, 'shuffle', epoch)).permutation(length)
        : Int32Array.from({ length }, (_, row) => row);
      for (let row = rowsOf(cursor, length, end); row < end; ) {
        const indices = order.subarray(row, Math.min(row + batchSize, end));
        const batch = await dataset.batch(indices);
        const got = batch.x[0]?.shape[0];
        if (got !== indices.length) {
          throw new LockstepError(
            'SHAPE_MISMATCH',
            `the dataset gave ${got ?? 'no'} rows for ${indices.length} indices`,
            { hint: 'batch(indices) must return one row per index, in that order.' },
          );
        }
        row += indices.length;
        const samples = Float64Array.from(indices);
        yield { batch, rows: indices.length, samples, cursor: { rows: row, of: length } };
      }
    },
  };
}

const cursorSchema = z.strictObject({ rows: z.int().nonnegative(), of: z.int().nonnegative() });

function rowsOf(cursor: Json | null, length: number, end: number): number {
  if (cursor === null) return 0;
  const { data } = cursorSchema.safeParse(cursor);
  if (data !== undefined && data.of === length && data.rows <= end) return data.rows;
  const position = data === undefined ? JSON.stringify(cursor) : `row ${data.rows} of ${data.of}`;
  throw new LockstepError(
    'CHECKPOINT_MISMATCH',
    `the checkpoint stands at ${position}, an epoch of this data has ${end} rows of ${length}`,
    {
      hint: 'Resume with the data that the run was started with.',
    },
  );
}
