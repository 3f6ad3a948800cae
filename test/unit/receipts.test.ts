import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { openReceipts } from '../../coordinator/receipts/open-receipts.js';
import { readReceipts } from '../../coordinator/receipts/read-receipts.js';
import { Receipts, type ReceiptsOptions, receiptsPath } from '../../coordinator/receipts/receipts.js';
import { type AppendableFile, openFile, ReceiptsFile } from '../../coordinator/receipts/receipts-file.js';
import type { DigestedState } from '../../coordinator/receipts/state-digests.js';
import { digestOf } from '../../shared/digest.js';
import type { Manifest } from '../../shared/manifest.js';

const manifest: Manifest = {
  weights: [
    { name: 'dense/kernel', shape: [2], size: 2, trainable: true, offset: 0 },
    { name: 'norm/mean', shape: [1], size: 1, trainable: false, offset: 3 },
    { name: 'dense/bias', shape: [1], size: 1, trainable: true, offset: 2 },
  ],
  trainableSize: 3,
  totalSize: 4,
  batchNorms: [],
  frozenLayers: [],
};

/** A state whose step `n` is always the same. */
class State implements DigestedState {
  readonly manifest = manifest;
  readonly optimizer = {
    slots: () => new Map([['dense/kernel', { v: Float32Array.of(this.iteration, 2) }]]),
  };
  weights = { version: 1, flat: Float32Array.of(1, 2, 3, 4) };
  iteration = 0;
  fixedLearningRate: number | null = null;

  step(n: number): void {
    this.set(Float32Array.of(n, n + 1, n + 2, n / 8));
    this.iteration = n;
  }

  set(flat: Float32Array<ArrayBuffer>): void {
    this.weights = { version: this.weights.version + 1, flat };
  }
}

let directory: string;
let warnings: string[];
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'lockstep-receipts-'));
  warnings = [];
});
afterEach(() => rm(directory, { recursive: true, force: true }));

const path = (): string => receiptsPath(directory);
const warn = (message: string): void => void warnings.push(message);

async function open(
  resumed: { step: number; chain: string } | null,
  state: State,
  options: Partial<ReceiptsOptions> = {},
) {
  const { file, isWhole } = await openReceipts(directory, resumed, warn);
  const receipts = new Receipts({
    run: { runId: 'run', seed: 7, shards: 2, batchSize: 4 },
    state,
    file,
    onReceipt: null,
    recordShards: false,
    resumed: resumed === null ? null : { chain: resumed.chain, isWhole },
    ...options,
  });
  receipts.start(resumed?.step ?? 0, 'cpu');
  return receipts;
}

/** Takes the steps `from`…`to`. */
function take(receipts: Receipts, state: State, from: number, to: number): void {
  for (let n = from; n <= to; n++) {
    state.step(n);
    const shards = new Map(
      [0, 1].map((shard) => [shard, [digestOf([Uint8Array.of(n, shard)]), digestOf([])]]),
    );
    const facts = {
      step: n,
      epoch: 0,
      batch: n - 1,
      samples: Float64Array.of(n, n + 1),
      cursor: { rows: 2 * n },
      shards,
    };
    receipts.committed(facts, receipts.sumOf(Float32Array.of(n, -n, 0)));
  }
}

async function wholeRun(steps: number): Promise<{ text: string; chain: string }> {
  const state = new State();
  const receipts = await open(null, state);
  take(receipts, state, 1, steps);
  await receipts.close();
  return { text: await readFile(path(), 'utf8'), chain: receipts.chain };
}

async function linesOf(file: string) {
  const lines = [];
  for await (const line of readReceipts(file)) lines.push(line);
  return lines;
}

describe('receipts', () => {
  it('have a line of less than 300 bytes per step, chained as documented', async () => {
    const { text, chain } = await wholeRun(3);
    const lines = text.trimEnd().split('\n');
    expect(lines).toHaveLength(4);
    expect(JSON.parse(lines[0])).toMatchObject({
      lockstep: 'receipts',
      step: 0,
      runId: 'run',
      seed: 7,
      variables: ['dense/kernel', 'dense/bias'],
    });
    // Recomputed here from the text alone, as the comment in receipt.ts says.
    let before = '';
    for (const line of lines) {
      const [body, rest] = line.split(',"chain":"');
      before = digestOf([Buffer.from(before + body)]);
      expect(rest.slice(0, 32)).toBe(before);
    }
    expect(chain).toBe(before);
    const large = { step: 123_456, epoch: 99, batch: 12_345 };
    const grown = Object.values(large).join('').length - 3;
    for (const line of lines.slice(1)) expect(line.length + grown).toBeLessThan(312);
    for (const line of lines.slice(1)) expect(line.length).toBeLessThan(300);
  });

  it('tell each part of the state from the others', async () => {
    const step = async (change: (state: State) => void) => {
      const state = new State();
      const seen: string[] = [];
      const receipts = await open(null, state, {
        file: null,
        onReceipt: (line) => seen.push(line.weights, line.optimizer, line.stats),
      });
      change(state);
      state.set(state.weights.flat);
      receipts.settle(0);
      return seen.slice(3).map((digest, index) => digest !== seen[index]);
    };
    const flat = (at: number) => (state: State) => {
      state.weights.flat = state.weights.flat.slice();
      state.weights.flat[at] = -0;
    };
    expect(await step(() => {})).toEqual([false, false, false]);
    expect(await step(flat(2))).toEqual([true, false, false]);
    expect(await step(flat(3))).toEqual([false, false, true]);
    expect(await step((state) => Object.assign(state, { iteration: 5 }))).toEqual([false, true, false]);
    expect(await step((state) => Object.assign(state, { fixedLearningRate: 0.1 }))).toEqual([
      false,
      true,
      false,
    ]);
  });

  it('have the same chain whatever run, version and recorded shards', async () => {
    const { chain } = await wholeRun(3);
    const state = new State();
    const other = await open(null, state, {
      run: { runId: 'other', seed: 7, shards: 2, batchSize: 4 },
      recordShards: true,
    });
    take(other, state, 1, 3);
    await other.close();
    expect(other.chain).toBe(chain);
    const last = (await linesOf(path())).at(-1)?.line;
    const own = digestOf([Uint8Array.of(3, 1)]) + digestOf([]);
    expect(last).toMatchObject({ step: 3, shards: [expect.stringMatching(/^[0-9a-f]{64}$/), own] });
  });

  it('tell of weights that a callback set, once', async () => {
    const state = new State();
    const receipts = await open(null, state);
    take(receipts, state, 1, 1);
    const { chain } = receipts;
    receipts.settle(1);
    expect(receipts.chain).toBe(chain);
    state.set(Float32Array.of(9, 9, 9, 9));
    receipts.settle(1);
    expect(receipts.chain).not.toBe(chain);
    await receipts.close();
    expect((await linesOf(path())).at(-1)?.line).toMatchObject({ step: 1, set: true });
  });

  it('leave an earlier file alone until there is a step', async () => {
    const { text } = await wholeRun(2);
    const receipts = await open(null, new State());
    await receipts.close();
    expect(await readFile(path(), 'utf8')).toBe(text);
  });
});

const flipped = (found: string): string => found.slice(0, -1) + (found.endsWith('0') ? '1' : '0');

describe('a resumed run', () => {
  async function resumedAt(step: number, chain: string, to: number): Promise<Receipts> {
    const state = new State();
    state.step(step);
    const receipts = await open({ step, chain }, state);
    take(receipts, state, step + 1, to);
    await receipts.close();
    return receipts;
  }
  const chainOf = (text: string, step: number): string =>
    JSON.parse(text.split('\n').find((line) => line.startsWith(`{"step":${step},`)) ?? '').chain;

  it.each([
    ['what a crash left after the checkpoint', (text: string) => text],
    ['a torn last line', (text: string) => text.slice(0, -20)],
  ])('cuts the file back to the checkpoint, from %s', async (_what, left) => {
    const { text, chain } = await wholeRun(6);
    await writeFile(path(), left(text));
    const receipts = await resumedAt(4, chainOf(text, 4), 6);
    expect(await readFile(path(), 'utf8')).toBe(text);
    expect(receipts.chain).toBe(chain);
    expect(warnings).toEqual([]);
  });

  it.each([
    ['a digest was changed', (text: string) => text.replace(/"sum":"./, flipped), /step 1 was changed/],
    ['the batch was changed', (text: string) => text.replace('"batch":1', '"batch":7'), /step 2 was changed/],
    [
      'lines are missing',
      (text: string) => text.split('\n').slice(0, 3).join('\n').concat('\n'),
      /end after step 2/,
    ],
    ['it is empty', () => '', /no receipt/],
    ['it holds something else', () => 'epoch,loss\n0,1\n', /no receipt/],
  ])('says so, puts the file aside and keeps the chain when %s', async (_what, change, reason) => {
    const { text, chain } = await wholeRun(6);
    await writeFile(path(), change(text));
    const receipts = await resumedAt(4, chainOf(text, 4), 6);
    expect(receipts.chain).toBe(chain);
    expect(warnings).toEqual([expect.stringMatching(reason)]);
    expect(warnings[0]).toContain('receipts.changed.jsonl');
    expect(await readFile(join(directory, 'receipts.changed.jsonl'), 'utf8')).toBe(change(text));
    const lines = await linesOf(path());
    expect(lines.map(({ line }) => line.step)).toEqual([4, 5, 6]);
    expect(lines[0].line).toMatchObject({ continues: true });
    expect(lines.every(({ isLinked }) => isLinked)).toBe(true);
  });

  it('says so when the file is gone', async () => {
    const { text, chain } = await wholeRun(6);
    await rm(path());
    expect((await resumedAt(4, chainOf(text, 4), 6)).chain).toBe(chain);
    expect(warnings).toEqual([expect.stringContaining('ENOENT')]);
    expect(await readdir(directory)).toEqual(['receipts.jsonl']);
  });
});

describe('the file of receipts', () => {
  const full = (): Error => Object.assign(new Error('no space left on device'), { code: 'ENOSPC' });

  /** A file whose writes go through `write`. */
  function through(write: (real: AppendableFile) => AppendableFile['write']): ReceiptsFile {
    const opened = async (name: string): Promise<AppendableFile> => {
      const real = await openFile(name);
      return {
        write: write(real),
        truncate: (bytes) => real.truncate(bytes),
        datasync: () => real.datasync(),
        close: () => real.close(),
      };
    };
    return new ReceiptsFile({ path: path(), keepBytes: 0, onWarning: warn, openFile: opened });
  }

  it('warns of a full disk once, and writes everything when there is room again', async () => {
    let isFull = true;
    const file = through((real) => async (bytes, offset, length, position) => {
      // A part fits, then none.
      if (isFull && position > 0) throw full();
      return real.write(bytes, offset, isFull ? Math.min(length, 3) : length, position);
    });
    file.append('first\n');
    await file.flush();
    file.append('second\n');
    await file.flush();
    expect(await readFile(path(), 'utf8')).toBe('fir');
    expect(warnings).toEqual([expect.stringContaining('no space left on device')]);
    isFull = false;
    file.append('third\n');
    await file.close();
    expect(await readFile(path(), 'utf8')).toBe('first\nsecond\nthird\n');
    expect(warnings).toHaveLength(1);
  });

  it('takes nothing more once its folder is another coordinator’s', async () => {
    let mine = true;
    const mayWrite = async () => mine;
    const file = new ReceiptsFile({ path: path(), keepBytes: 0, onWarning: warn, mayWrite });
    file.append('first\n');
    await file.flush();
    mine = false;
    file.append('second\n');
    await file.flush();
    mine = true;
    file.append('third\n');
    await file.close();
    expect(await readFile(path(), 'utf8')).toBe('first\n');
    expect(warnings).toEqual([]);
  });

  it('never holds more than 8 MiB for a disk that takes nothing', async () => {
    const file = through(() => () => Promise.reject(full()));
    const line = `${'x'.repeat(1_000_000)}\n`;
    for (let i = 0; i < 12; i++) file.append(line);
    await file.flush();
    expect(warnings.at(-1)).toContain('ends here');
    file.append('later\n');
    await file.close();
    expect(await readFile(path(), 'utf8')).toBe('');
  });

  it('cannot be opened: training goes on with a warning', async () => {
    const file = new ReceiptsFile({ path: join(directory, 'no', 'such'), keepBytes: 0, onWarning: warn });
    file.append('line\n');
    await file.close();
    expect(warnings).toEqual([expect.stringContaining('ENOENT')]);
  });
});
