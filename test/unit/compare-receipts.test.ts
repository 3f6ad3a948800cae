import { describe, expect, it } from 'vitest';
import { compareReceipts } from '../../coordinator/receipts/compare.js';
import { describeDifference } from '../../coordinator/receipts/describe.js';
import {
  isHeader,
  type Receipt,
  type ReceiptsHeader,
  type SetReceipt,
  type StepReceipt,
} from '../../coordinator/receipts/receipt.js';

const digest = (text: string): string => Buffer.from(text.padEnd(16)).toString('hex').slice(0, 32);

const header: ReceiptsHeader = {
  lockstep: 'receipts',
  format: 1,
  step: 0,
  seed: 7,
  shards: 2,
  batchSize: 4,
  manifestHash: 'model',
  weights: digest('w0'),
  optimizer: digest('o0'),
  stats: digest('s0'),
  chain: digest('c0'),
  runId: 'run',
  version: '0.1.0',
  backend: 'cpu',
  variables: ['dense/kernel', 'dense/bias'],
};

type Changing<T> = { -readonly [K in keyof T]: T[K] };
type Lines = (Changing<Receipt> | Changing<ReceiptsHeader>)[];

/** The header and `steps` steps; `change` may alter a step. */
function run(steps = 4, change: (step: Changing<StepReceipt>) => void = () => {}): Lines {
  const lines: Lines = [{ ...header }];
  for (let n = 1; n <= steps; n++) {
    const step: Changing<StepReceipt> = {
      step: n,
      epoch: 0,
      batch: n - 1,
      data: digest(`data ${n}`),
      sum: digest(`sum ${n}`),
      weights: digest(`w${n}`),
      optimizer: digest(`o${n}`),
      stats: digest(`s${n}`),
      chain: digest(`c${n}`),
      shards: [digest(`a${n}`) + digest(`b${n}`), digest(`c${n}`) + digest(`d${n}`)],
    };
    change(step);
    lines.push(step);
  }
  return lines;
}

const setAfter = (step: number, weights = digest('set')): SetReceipt => ({
  step,
  set: true,
  weights,
  optimizer: digest(`o${step}`),
  stats: digest(`s${step}`),
  chain: digest('set'),
});

/** Alters everything from the step `n` on that one part in it brings about. */
const from = (n: number, alter: (step: Changing<StepReceipt>) => void) => (step: Changing<StepReceipt>) => {
  if (step.step >= n) alter(step);
};

const others = {
  data: (step: Changing<StepReceipt>) => {
    step.data = digest('x');
    others.shard(step);
  },
  shard(step: Changing<StepReceipt>) {
    step.shards = [step.shards?.[0] ?? '', digest(`c${step.step}`) + digest('x')];
    others.sum(step);
  },
  sum(step: Changing<StepReceipt>) {
    step.sum = digest('x');
    others.weights(step);
  },
  weights(step: Changing<StepReceipt>) {
    step.weights = digest('x');
    others.optimizer(step);
  },
  optimizer(step: Changing<StepReceipt>) {
    step.optimizer = digest('x');
    others.stats(step);
  },
  stats(step: Changing<StepReceipt>) {
    step.stats = digest('x');
  },
};

const said = async (a: Lines, b: Lines): Promise<string> => {
  const { difference } = await compareReceipts(a, b);
  expect(difference).not.toBeNull();
  return describeDifference(difference!, 'A', 'B').what;
};

describe('compareReceipts', () => {
  it('finds no difference between equal runs, whatever their ids', async () => {
    const other = run();
    Object.assign(other[0], { runId: 'other', backend: 'wasm' });
    const { difference, steps, last } = await compareReceipts(run(), other);
    expect({ difference, steps, last }).toEqual({ difference: null, steps: 4, last: [4, 4] });
  });

  it.each([
    ['data', 'A and B part in step 3: first in the samples that it consumed'],
    ['shard', 'A and B part in step 3: first in the gradient of shard 1 for dense/bias'],
    ['sum', 'A and B part in step 3: first in the sum of the gradients, although every shard agrees'],
    ['weights', 'A and B part in step 3: first in the weights, although the gradient agrees'],
    ['optimizer', "A and B part in step 3: first in the optimizer's slots, although the weights agree"],
    [
      'stats',
      "A and B part in step 3: first in BatchNorm's statistics or frozen weights, although the rest agrees",
    ],
  ] as const)('names the first step and the first cause: %s', async (part, what) => {
    expect(await said(run(), run(4, from(3, others[part])))).toBe(what);
    expect(await said(run(4, from(3, others[part])), run())).toBe(what);
  });

  it('points to the sum where shards were not recorded by both, and says how to learn more', async () => {
    const bare = run(4, (step) => delete step.shards);
    const { difference } = await compareReceipts(bare, run(4, from(2, others.shard)));
    const { what, hint } = describeDifference(difference!, 'A', 'B');
    expect(what).toBe('A and B part in step 2: first in the sum of the gradients');
    expect(hint).toContain('--record-shards');
  });

  it('sees that one skipped a step', async () => {
    const skipping = run(4, (step) => {
      if (step.step !== 2) return;
      delete step.sum;
      step.skipped = true;
    });
    expect(await said(run(), skipping)).toBe(
      'A and B part in step 2: first in that only B skipped it as not finite',
    );
  });

  it.each([
    ['batchSize', 8, 'A and B have different batch sizes (4 and 8): their bits are not expected to agree'],
    ['shards', 4, 'A and B have different shard counts (2 and 4): their bits are not expected to agree'],
    ['seed', 1, 'A and B have different seeds (7 and 1): their bits are not expected to agree'],
    ['manifestHash', 'other', 'A and B have different models: their bits are not expected to agree'],
  ])('says first that they are runs of different jobs: %s', async (field, value, what) => {
    const other = run(4, from(1, others.data));
    Object.assign(other[0], { [field]: value, weights: digest('x') });
    expect(await said(run(), other)).toBe(what);
  });

  it('sees that they begin with other weights', async () => {
    const other = run(4, from(1, others.data));
    Object.assign(other[0], { weights: digest('x') });
    expect(await said(run(), other)).toMatch(/^A and B differ before the first step: first in the weights/);
  });

  it('compares as many steps as both have', async () => {
    const { difference, steps, last } = await compareReceipts(run(6), run(4));
    expect({ difference, steps, last }).toEqual({ difference: null, steps: 4, last: [6, 4] });
    expect((await compareReceipts(run(0), run(4))).steps).toBe(0);
    expect((await compareReceipts(run(2), [...run(2), setAfter(2), ...run(4).slice(3)])).last).toEqual([
      2, 4,
    ]);
  });

  it('compares from where both have receipts', async () => {
    const late = (lines: Lines): Lines => [{ ...header, step: 2, weights: digest('w2') }, ...lines.slice(3)];
    const { difference, steps } = await compareReceipts(run(), late(run()));
    expect({ difference, steps }).toEqual({ difference: null, steps: 2 });
    expect(await said(late(run()), run(4, from(4, others.sum)))).toContain('step 4');
  });

  it('sees that a callback set weights in one of them, or other ones', async () => {
    const withSet = (step: number, weights?: string): Lines =>
      run().flatMap((line) =>
        !isHeader(line as Receipt) && line.step === step ? [line, setAfter(step, weights)] : [line],
      );
    expect(await said(run(), withSet(2))).toBe(
      'A and B part in step 2: first in the weights that a callback set after it in B alone',
    );
    expect(await said(withSet(4), run())).toMatch(/step 4: .* set after it in A alone$/);
    expect(await said(withSet(3), withSet(3, digest('x')))).toMatch(/step 3: .* a callback set after it$/);
    expect((await compareReceipts(withSet(4), withSet(4))).difference).toBeNull();
  });

  it('reads no further than the first difference', async () => {
    let read = 0;
    async function* counted(lines: Lines) {
      for (const line of lines) {
        read += 1;
        yield line as Receipt | ReceiptsHeader;
      }
    }
    await compareReceipts(counted(run(100)), run(100, from(5, others.sum)));
    expect(read).toBe(6);
  });
});
