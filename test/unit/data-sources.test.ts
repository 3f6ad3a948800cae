import { describe, expect, it } from 'vitest';
import { fromArrays } from '../../coordinator/data/array-dataset.js';
import { arraySource } from '../../coordinator/data/array-source.js';
import type { BatchSource, Dataset, StreamDataset, TrainingBatch } from '../../coordinator/data/dataset.js';
import { streamSource } from '../../coordinator/data/stream-source.js';
import type { Json } from '../../shared/json.js';
import { deriveSeed, Random } from '../../shared/random.js';

const count = (length: number): number[] => Array.from({ length }, (_, i) => i);
const numbers = (length: number): Dataset => fromArrays({ x: count(length), y: count(length) });

/** A stream of the numbers 0…length-1; `changed` of them differ from what they were. */
function streamOf(length: number, { changed = new Set<number>(), closed = () => {} } = {}): StreamDataset {
  return {
    async *open() {
      try {
        for (let i = 0; i < length; i++) {
          const data = Float32Array.of(changed.has(i) ? -i : i);
          yield { x: [{ dtype: 'float32', shape: [1], data }], y: [] };
        }
      } finally {
        closed();
      }
    },
  };
}

async function read(source: BatchSource, epoch = 0, cursor: Json | null = null): Promise<TrainingBatch[]> {
  const batches: TrainingBatch[] = [];
  for await (const batch of source.open(epoch, cursor)) batches.push(batch);
  return batches;
}

const valuesOf = (batches: readonly TrainingBatch[]): number[] =>
  batches.flatMap(({ batch }) => [...batch.x[0].data]);
const ascending = (values: readonly number[]): number[] => [...values].sort((a, b) => a - b);

describe('arraySource', () => {
  const options = { batchSize: 4, seed: 7, shuffle: true };

  it('gives every row once per epoch, the last batch smaller, in the order of the seeded permutation', async () => {
    const batches = await read(arraySource(numbers(10), options), 3);
    expect(batches.map(({ rows }) => rows)).toEqual([4, 4, 2]);
    expect(valuesOf(batches)).toEqual([...new Random(deriveSeed(7, 'shuffle', 3)).permutation(10)]);
  });

  it('shuffles each epoch differently, and not at all when told so', async () => {
    const source = arraySource(numbers(50), options);
    expect(valuesOf(await read(source, 0))).not.toEqual(valuesOf(await read(source, 1)));
    expect(valuesOf(await read(arraySource(numbers(50), { ...options, shuffle: false })))).toEqual(count(50));
  });

  it('goes on at the cursor without reading the rows before it', async () => {
    const dataset = numbers(10);
    const whole = await read(arraySource(dataset, options), 1);
    const consumed = new Set(valuesOf(whole.slice(0, 2)));
    const poisoned: Dataset = {
      length: 10,
      batch(indices) {
        expect([...indices].filter((row) => consumed.has(row))).toEqual([]);
        return dataset.batch(indices);
      },
    };
    expect(await read(arraySource(poisoned, options), 1, whole[1].cursor)).toEqual(whole.slice(2));
    expect(await read(arraySource(poisoned, options), 1, whole[2].cursor)).toEqual([]);
  });

  it('refuses a cursor of other data', async () => {
    const [{ cursor }] = await read(arraySource(numbers(10), options));
    for (const bad of [cursor, { rows: -1, of: 11 }, { rows: 12, of: 11 }, 'nonsense'])
      await expect(read(arraySource(numbers(11), options), 0, bad)).rejects.toMatchObject({
        code: 'CHECKPOINT_MISMATCH',
      });
  });

  it('cuts the epoch to stepsPerEpoch, and refuses more than there are', async () => {
    const source = arraySource(numbers(10), { ...options, stepsPerEpoch: 2 });
    expect(source.stepsPerEpoch).toBe(2);
    expect((await read(source)).map(({ rows }) => rows)).toEqual([4, 4]);
    for (const stepsPerEpoch of [0, 4, 1.5])
      expect(() => arraySource(numbers(10), { ...options, stepsPerEpoch })).toThrow(
        expect.objectContaining({ code: 'BAD_OPTION' }),
      );
  });

  it('refuses a dataset that gives another number of rows than was asked for', async () => {
    const one = numbers(1);
    const short: Dataset = { length: 10, batch: () => one.batch(Int32Array.of(0)) };
    await expect(read(arraySource(short, options))).rejects.toMatchObject({ code: 'SHAPE_MISMATCH' });
  });
});

describe('streamSource', () => {
  const options = { batchSize: 4, seed: 7, shuffleBuffer: 5 };

  it('gives every record once, the last batch smaller', async () => {
    const batches = await read(streamSource(streamOf(22), options));
    expect(batches.map(({ rows }) => rows)).toEqual([4, 4, 4, 4, 4, 2]);
    expect(ascending(valuesOf(batches))).toEqual(count(22));
    expect(valuesOf(batches)).not.toEqual(count(22));
  });

  it('moves no record further ahead than the buffer reaches, and none with a buffer of 1', async () => {
    const values = valuesOf(await read(streamSource(streamOf(200), options)));
    expect(Math.max(...values.map((value, position) => value - position))).toBeLessThan(
      options.shuffleBuffer,
    );
    const plain = streamSource(streamOf(22), { ...options, shuffleBuffer: 1 });
    expect(valuesOf(await read(plain))).toEqual(count(22));
  });

  it('repeats an epoch, and orders another one differently', async () => {
    const source = streamSource(streamOf(40), options);
    expect(await read(source, 2)).toEqual(await read(source, 2));
    expect(valuesOf(await read(source, 2))).not.toEqual(valuesOf(await read(source, 3)));
  });

  it('goes on from every cursor exactly as if it had not stopped', async () => {
    const source = streamSource(streamOf(22), options);
    const whole = await read(source, 1);
    for (let step = 0; step < whole.length; step++)
      expect(await read(source, 1, whole[step].cursor)).toEqual(whole.slice(step + 1));
  });

  it('refuses to go on when a record that was read has changed, or is missing', async () => {
    const [, { cursor }] = await read(streamSource(streamOf(22), options));
    const resumed = (stream: StreamDataset) => read(streamSource(stream, options), 0, cursor);
    for (const stream of [streamOf(22, { changed: new Set([3]) }), streamOf(6)])
      await expect(resumed(stream)).rejects.toMatchObject({ code: 'CHECKPOINT_MISMATCH' });
    await expect(read(streamSource(streamOf(22), options), 0, { rows: 4, of: 9 })).rejects.toMatchObject({
      code: 'CHECKPOINT_MISMATCH',
    });
    // What was not read yet may change.
    await expect(resumed(streamOf(22, { changed: new Set([20]) }))).resolves.toHaveLength(4);
  });

  it('closes the stream when the reader stops early', async () => {
    let closed = 0;
    const stream = streamOf(1_000, { closed: () => (closed += 1) });
    for await (const _ of streamSource(stream, options).open(0, null)) break;
    await read(streamSource(stream, { ...options, stepsPerEpoch: 2 }));
    expect(closed).toBe(2);
  });

  it('refuses a stream that is empty, or shorter than stepsPerEpoch or its own length', async () => {
    const codeOf = (stream: StreamDataset, stepsPerEpoch?: number) =>
      expect(read(streamSource(stream, { ...options, stepsPerEpoch }))).rejects;
    await codeOf(streamOf(0)).toMatchObject({ code: 'DATA_EMPTY' });
    await codeOf(streamOf(22), 7).toMatchObject({ code: 'BAD_OPTION' });
    await codeOf({ ...streamOf(22), length: 30 }).toMatchObject({ code: 'DATA_CORRUPT' });
    expect(() => streamSource({ ...streamOf(22), length: 22 }, { ...options, stepsPerEpoch: 7 })).toThrow(
      expect.objectContaining({ code: 'BAD_OPTION' }),
    );
    expect(() => streamSource(streamOf(22), { ...options, shuffleBuffer: 0 })).toThrow(
      expect.objectContaining({ code: 'BAD_OPTION' }),
    );
  });

  it('refuses records of different shapes', async () => {
    const stream: StreamDataset = {
      async *open() {
        for (const length of [2, 3])
          yield { x: [{ dtype: 'float32', shape: [length], data: new Float32Array(length) }], y: [] };
      },
    };
    await expect(read(streamSource(stream, options))).rejects.toMatchObject({ code: 'SHAPE_MISMATCH' });
  });
});
