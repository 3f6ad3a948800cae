import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { afterAll, describe, expect, it } from 'vitest';
import { readCsv } from '../../coordinator/data/csv.js';
import { applyFeatures, type Features, featureWidth, fitFeatures } from '../../coordinator/data/features.js';
import { readIdx } from '../../coordinator/data/idx.js';

const folder = mkdtempSync(join(tmpdir(), 'lockstep-data-'));
afterAll(() => rmSync(folder, { recursive: true }));

let files = 0;
function write(content: string | Uint8Array): string {
  const path = join(folder, `file-${files++}`);
  writeFileSync(path, content);
  return path;
}

/** Two zero bytes, the type, the number of axes, each axis as uint32, the elements: all big-endian. */
function idx(type: number, shape: readonly number[], elements: readonly number[]): Buffer {
  const axes = shape.flatMap((dim) => [dim >>> 24, (dim >>> 16) & 255, (dim >>> 8) & 255, dim & 255]);
  return Buffer.from([0, 0, type, shape.length, ...axes, ...elements]);
}

describe('readIdx', () => {
  const images = idx(0x08, [2, 1, 3], [0, 1, 2, 253, 254, 255]);

  it('reads bytes as uint8, from plain and gzip files', async () => {
    const expected = { dtype: 'uint8', shape: [2, 1, 3], data: Uint8Array.of(0, 1, 2, 253, 254, 255) };
    expect(await readIdx(write(images))).toEqual(expected);
    expect(await readIdx(write(gzipSync(images)))).toEqual(expected);
  });

  it.each([
    ['int8', 0x09, [0xff, 0x7f], Int32Array.of(-1, 127)],
    ['int16', 0x0b, [0xff, 0xfe, 0x01, 0x00], Int32Array.of(-2, 256)],
    ['int32', 0x0c, [0xff, 0xff, 0xff, 0xfd, 0x00, 0x01, 0x00, 0x00], Int32Array.of(-3, 65536)],
    ['float32', 0x0d, [0x3f, 0xc0, 0, 0, 0xc0, 0, 0, 0], Float32Array.of(1.5, -2)],
    ['float64', 0x0e, [0x3f, 0xf8, 0, 0, 0, 0, 0, 0, 0xc0, 0, 0, 0, 0, 0, 0, 0], Float32Array.of(1.5, -2)],
  ])('reads %s', async (_, type, bytes, data) => {
    expect((await readIdx(write(idx(type, [2], bytes)))).data).toEqual(data);
  });

  it.each([
    ['a truncated file', images.subarray(0, -1), 'has 21 bytes, expected 22 for [2,1,3]'],
    ['a file that is too long', Buffer.concat([images, Buffer.of(0)]), 'has 23 bytes, expected 22'],
    ['a header cut short', images.subarray(0, 9), 'ends within its header of 3 axes'],
    ['another format', Buffer.from('PNG image'), 'does not begin as an IDX file'],
    ['an unknown type', idx(0x0a, [1], [0]), 'element type 10'],
    ['an absurd size', idx(0x08, [0xffffffff, 0xffffffff], [1]), 'has 13 bytes'],
    ['gzip cut short', gzipSync(images).subarray(0, -9), 'not whole gzip data'],
    ['an empty file', Buffer.alloc(0), 'does not begin as an IDX file'],
  ])('refuses %s', async (_, bytes, message) => {
    const path = write(bytes);
    await expect(readIdx(path)).rejects.toMatchObject({
      code: 'DATA_CORRUPT',
      message: expect.stringMatching(message.replace(/[[\]]/g, '\\$&')),
    });
    await expect(readIdx(path)).rejects.toThrow(path);
  });

  it('names a file that does not exist', async () => {
    const path = join(folder, 'none');
    await expect(readIdx(path)).rejects.toMatchObject({
      code: 'DATA_NOT_FOUND',
      message: `the data file ${path} does not exist`,
    });
  });
});

const houses = `rooms,price,place
1,10,inland
,20,"near, bay"
3,30,
4,40,inland
`;

describe('readCsv', () => {
  it('detects numbers and texts, quoted ones too, from plain and gzip files', async () => {
    for (const path of [
      write(houses),
      write(gzipSync(houses)),
      write(`\ufeff${houses.replaceAll('\n', '\r\n')}`),
    ]) {
      const table = await readCsv(path);
      expect(table.names).toEqual(['rooms', 'price', 'place']);
      expect(table.length).toBe(4);
      expect(table.column('rooms')).toEqual({ kind: 'number', values: Float64Array.of(1, Number.NaN, 3, 4) });
      expect(table.column('place').values).toEqual(['inland', 'near, bay', null, 'inland']);
    }
  });

  it('reads a column as it is told to', async () => {
    const table = await readCsv(write('zip;n\n01234;1e3\n94105;-.5\n'), {
      separator: ';',
      types: { zip: 'category' },
    });
    expect(table.column('zip').values).toEqual(['01234', '94105']);
    expect(table.numbers('n')).toEqual({
      dtype: 'float32',
      shape: [2, 1],
      data: Float32Array.of(1000, -0.5),
    });
  });

  it('takes hexadecimal, Infinity and NaN for texts', async () => {
    for (const text of ['0x10', 'Infinity', 'NaN', '1_000'])
      expect((await readCsv(write(`a\n1\n${text}\n`))).column('a').kind).toBe('category');
  });

  it('names file and line of what it cannot read', async () => {
    const refusal = async (text: string, types = {}) => {
      const path = write(text);
      const error = await readCsv(path, { types }).then(
        () => null,
        (thrown: unknown) => thrown,
      );
      expect(error).toMatchObject({ code: 'DATA_CORRUPT', message: expect.stringContaining(path) });
      return String(error);
    };
    expect(await refusal('a,b\n1,2\n3\n')).toContain('line 3');
    expect(await refusal('a,b\n1,"2\n')).toMatch(/quote/i);
    // An empty line and a line break within quotes do not shift the number.
    expect(await refusal('a,b\n\n1,"x\ny"\nthree,z\n', { a: 'number' })).toContain(
      'line 5: a is "three", expected a number',
    );
    expect(await refusal('a,a\n1,2\n')).toContain('two columns are named "a"');
    expect(await refusal('a,b\n1,2\n', { c: 'number' })).toContain('no column "c"; it has: a, b');
  });

  it('refuses a file without rows, and names columns that are not there', async () => {
    await expect(readCsv(write('a,b\n'))).rejects.toMatchObject({ code: 'DATA_EMPTY' });
    await expect(readCsv(write(''))).rejects.toMatchObject({ code: 'DATA_EMPTY' });
    const table = await readCsv(write(houses));
    expect(() => table.column('prize')).toThrow('no column "prize"; it has: rooms, price, place');
    expect(() => table.numbers('place')).toThrow(expect.objectContaining({ code: 'DATA_CORRUPT' }));
  });

  it('splits the rows by seed, each row on one side', async () => {
    const table = await readCsv(write(`n\n${Array.from({ length: 50 }, (_, i) => i).join('\n')}\n`));
    const parts = (seed: number) => {
      const { train, validation } = table.split({ validation: 0.2, seed });
      return [train, validation].map((part) => [...part.numbers('n').data]);
    };
    const [train, validation] = parts(1);
    expect([train.length, validation.length]).toEqual([40, 10]);
    expect([...train, ...validation].sort((a, b) => a - b)).toEqual(Array.from({ length: 50 }, (_, i) => i));
    expect(parts(1)).toEqual([train, validation]);
    expect(parts(2)).not.toEqual([train, validation]);
    for (const fraction of [0, 1, Number.NaN])
      expect(() => table.split({ validation: fraction, seed: 1 })).toThrow(
        expect.objectContaining({ code: 'BAD_OPTION' }),
      );
  });
});

describe('features', () => {
  const table = readCsv(write(houses));

  it('fill and scale with the statistics of the training rows alone', async () => {
    const train = (await table).rows(Int32Array.of(0, 2));
    const features = fitFeatures(train, { columns: ['rooms'], missing: 'mean' });
    // Training rows 1 and 3: mean 2, population deviation 1. The empty field becomes the mean.
    expect(applyFeatures(features, await table).data).toEqual(Float32Array.of(-1, 0, 1, 2));
  });

  it('fill with the median and leave unscaled when told so', async () => {
    const features = fitFeatures(await table, { columns: ['rooms', 'price'], standardize: false });
    expect(applyFeatures(features, await table)).toEqual({
      dtype: 'float32',
      shape: [4, 2],
      data: Float32Array.of(1, 10, 3, 20, 3, 30, 4, 40),
    });
  });

  it('refuse an empty number when told so', async () => {
    const features = fitFeatures(await table, { columns: ['rooms'], missing: 'error', standardize: false });
    const whole = await table;
    expect(() => applyFeatures(features, whole)).toThrow(
      expect.objectContaining({ code: 'DATA_NOT_FINITE', message: 'row 1 has no "rooms"' }),
    );
  });

  it('encode categories as columns or numbers, others as none of them', async () => {
    const train = (await table).rows(Int32Array.of(0, 1));
    const encoded = async (categories: 'oneHot' | 'index') =>
      applyFeatures(fitFeatures(train, { columns: ['place'], categories }), await table);
    expect(await encoded('oneHot')).toMatchObject({
      shape: [4, 2],
      data: Float32Array.of(1, 0, 0, 1, 0, 0, 1, 0),
    });
    expect(await encoded('index')).toMatchObject({ shape: [4, 1], data: Float32Array.of(0, 1, 2, 0) });
  });

  it('do not divide by the deviation of a constant column', async () => {
    const train = (await table).rows(Int32Array.of(0));
    expect([...applyFeatures(fitFeatures(train, { columns: ['price'] }), train).data]).toEqual([0]);
  });

  it('survive JSON', async () => {
    const features = fitFeatures(await table, { columns: ['rooms', 'place'] });
    const copy = JSON.parse(JSON.stringify(features)) as Features;
    expect(featureWidth(copy)).toBe(3);
    expect(applyFeatures(copy, await table)).toEqual(applyFeatures(features, await table));
  });
});
