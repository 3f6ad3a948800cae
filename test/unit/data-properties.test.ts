import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { fromArrays } from '../../coordinator/data/array-dataset.js';
import { arraySource } from '../../coordinator/data/array-source.js';
import { readCsv } from '../../coordinator/data/csv.js';
import type { BatchSource, Dataset, StreamDataset } from '../../coordinator/data/dataset.js';
import { readIdx } from '../../coordinator/data/idx.js';
import { streamSource } from '../../coordinator/data/stream-source.js';
import type { Json } from '../../shared/json.js';

/** The folder with mnist/ and housing/, which the project does not contain. */
const realData = process.env.LOCKSTEP_DATA;

const settings = fc.record({
  length: fc.integer({ min: 1, max: 60 }),
  batchSize: fc.integer({ min: 1, max: 20 }),
  seed: fc.nat(),
  epoch: fc.nat({ max: 5 }),
  shuffleBuffer: fc.integer({ min: 1, max: 70 }),
  /** How much of the epoch was over when it was resumed, in [0, 1]. */
  resumeAt: fc.double({ min: 0, max: 1, noNaN: true }),
});

const ascending = (length: number): number[] => Array.from({ length }, (_, i) => i);

function streamOf(length: number): StreamDataset {
  return {
    async *open() {
      for (const i of ascending(length))
        yield { x: [{ dtype: 'int32', shape: [], data: Int32Array.of(i) }], y: [] };
    },
  };
}

async function read(source: BatchSource, epoch: number, cursor: Json | null = null) {
  const batches: { values: number[]; cursor: Json }[] = [];
  for await (const { batch, cursor: after } of source.open(epoch, cursor))
    batches.push({ values: [...batch.x[0].data], cursor: after });
  return batches;
}

/** What must hold of an epoch, however it is cut, and resumed. */
async function expectWholeEpoch(
  source: BatchSource,
  {
    length,
    batchSize,
    epoch,
    resumeAt,
  }: { length: number; batchSize: number; epoch: number; resumeAt: number },
) {
  const batches = await read(source, epoch);
  expect(batches.flatMap(({ values }) => values).sort((a, b) => a - b)).toEqual(ascending(length));
  const sizes = batches.map(({ values }) => values.length);
  expect(sizes.slice(0, -1).every((size) => size === batchSize)).toBe(true);
  const done = Math.round(resumeAt * batches.length);
  const cursor = done === 0 ? null : batches[done - 1].cursor;
  expect(await read(source, epoch, cursor)).toEqual(batches.slice(done));
}

describe('an epoch', () => {
  it('of a dataset gives each row once and can be resumed after any batch, whatever the sizes', () =>
    fc.assert(
      fc.asyncProperty(settings, async (given) => {
        const rows = ascending(given.length);
        const dataset = fromArrays({ x: { shape: [rows.length], data: Int32Array.from(rows) }, y: rows });
        await expectWholeEpoch(arraySource(dataset, { ...given, shuffle: true }), given);
      }),
    ));

  it('of a stream gives each record once and can be resumed after any batch, whatever the sizes', () =>
    fc.assert(
      fc.asyncProperty(settings, async (given) => {
        await expectWholeEpoch(streamSource(streamOf(given.length), given), given);
      }),
    ));

  it('does not read the rows again that were consumed before it was resumed', async () => {
    const asked: number[] = [];
    const dataset: Dataset = {
      length: 20,
      batch(indices) {
        asked.push(...indices);
        return { x: [{ dtype: 'int32', shape: [indices.length], data: Int32Array.from(indices) }], y: [] };
      },
    };
    const source = arraySource(dataset, { batchSize: 3, seed: 1, shuffle: true });
    const batches = await read(source, 0);
    const consumed = asked.slice(0, 12);
    asked.length = 0;
    await read(source, 0, batches[3].cursor);
    expect([...consumed, ...asked].sort((a, b) => a - b)).toEqual(ascending(20));
  });

  it('refuses the cursor of another kind of data', async () => {
    const options = { batchSize: 2, seed: 1, shuffle: true, shuffleBuffer: 2 };
    const dataset = fromArrays({ x: ascending(6), y: ascending(6) });
    const [fromRows, fromStream] = [arraySource(dataset, options), streamSource(streamOf(6), options)];
    const [row] = await read(fromRows, 0);
    const [record] = await read(fromStream, 0);
    await expect(read(fromStream, 0, row.cursor)).rejects.toMatchObject({ code: 'CHECKPOINT_MISMATCH' });
    await expect(read(fromRows, 0, record.cursor)).rejects.toMatchObject({ code: 'CHECKPOINT_MISMATCH' });
  });

  it.each([0, -1, 1.5, Number.NaN])('of %d steps is refused', (stepsPerEpoch) => {
    const options = { batchSize: 2, seed: 1, shuffle: true, shuffleBuffer: 2, stepsPerEpoch };
    const dataset = fromArrays({ x: ascending(6), y: ascending(6) });
    const refused = expect.objectContaining({ code: 'BAD_OPTION' });
    expect(() => arraySource(dataset, options)).toThrow(refused);
    expect(() => streamSource(streamOf(6), options)).toThrow(refused);
  });
});

describe('fromArrays', () => {
  it('takes an input named "data" for an input, beside others', async () => {
    const x = { data: [1, 2], mask: [3, 4] };
    const names = { inputNames: ['mask', 'data'], outputNames: ['y'] };
    const batch = await fromArrays({ x, y: [0, 1] }, names).batch(Int32Array.of(1));
    expect(batch.x.map(({ data }) => [...data])).toEqual([[4], [2]]);
  });
});

describe.runIf(realData !== undefined)('real files', () => {
  const path = (name: string): string => join(realData ?? '', name);

  it('of MNIST hold 10,000 images, 980 of them zeros', async () => {
    const images = await readIdx(path('mnist/t10k-images-idx3-ubyte.gz'));
    const labels = await readIdx(path('mnist/t10k-labels-idx1-ubyte.gz'));
    expect([images.dtype, images.shape]).toEqual(['uint8', [10_000, 28, 28]]);
    // The first test images of MNIST are a 7, a 2, a 1, a 0 and a 4.
    expect([...labels.data.subarray(0, 5)]).toEqual([7, 2, 1, 0, 4]);
    expect([...labels.data].filter((label) => label === 0).length).toBe(980);
  });

  it('of housing hold 20,640 rows, 207 of them without total_bedrooms, in 5 places', async () => {
    const table = await readCsv(path('housing/housing.csv'));
    expect(table.length).toBe(20_640);
    expect(table.names.length).toBe(10);
    expect([...table.numbers('total_bedrooms').data].filter(Number.isNaN).length).toBe(207);
    expect(new Set<unknown>(table.column('ocean_proximity').values).size).toBe(5);
  });
});
