import { power } from '../../../coordinator/optimizer/portable-math.js';
import type { ShardPartial } from '../../../shared/partial.js';
import { deriveSeed, Random } from '../../../shared/random.js';
import { type ExpectedCallbacks, ReferenceCallbacks } from './reference-callbacks.js';
import { shardBatch } from './shard-batch.js';
import {
  batchNormMomentum,
  initialWeights,
  manifest,
  offsets,
  rates,
  recordOf,
  rowOf,
  type TinyJob,
  units,
  validatedEpochs,
} from './tiny-job.js';

/** Where an undisturbed run stands after a step, to the bit. */
export interface ExpectedState {
  readonly step: number;
  readonly epoch: number;
  /** Batches of the epoch; 0 once its end was handled. */
  readonly batch: number;
  readonly weights: Uint32Array;
  /** All slots, variable by variable in manifest order. */
  readonly slots: Uint32Array;
  /** What a callback set, or null. */
  readonly learningRate: number | null;
  /** Rows, Σ rows × loss, then the sums. */
  readonly totals: readonly number[];
  readonly callbacks: ExpectedCallbacks;
  /** Rows of the epoch that were consumed. */
  readonly consumed: number;
}

export interface Reference {
  readonly job: TinyJob;
  /** After step t, before the epoch's end is handled; `afterStep[0]` is the beginning. */
  readonly afterStep: readonly ExpectedState[];
  /** After the end of epoch e, at index e + 1; the beginning at 0. */
  readonly afterEpoch: readonly ExpectedState[];
  /** Step t trains on the rows of `ledgers[t]`: Σ 2^row. */
  readonly ledgers: readonly number[];
  /** What the shards of step t add up to, before clipping. */
  readonly gradients: readonly Uint32Array[];
  readonly steps: number;
  readonly finalWeights: Uint32Array;
}

/**
 * Trains the job in straight-line code, without anything of the coordinator or of a worker but the shards' own
 * function: no messages, no rounds, no state machines, and its own sums, update rules and callbacks.
 */
export function referenceOf(job: TinyJob): Reference {
  const { batchSize, optimizer } = job;
  const weights = initialWeights(job);
  const slotsPerVariable = optimizer === 'adam' ? 2 : 1;
  const first = new Float32Array(manifest.trainableSize);
  const second = new Float32Array(manifest.trainableSize);
  const callbacks = new ReferenceCallbacks(job);
  const afterStep: ExpectedState[] = [];
  const afterEpoch: ExpectedState[] = [];
  const ledgers: number[] = [];
  const gradients: Uint32Array[] = [];
  let step = 0;
  let totals: number[] = new Array<number>(9).fill(0);
  const state = (epoch: number, batch: number, consumed: number): ExpectedState => ({
    step,
    epoch,
    batch,
    weights: new Uint32Array(weights.slice().buffer),
    slots: step === 0 ? new Uint32Array(0) : slotBits(first, second, slotsPerVariable),
    learningRate: callbacks.learningRate,
    totals: [...totals],
    callbacks: callbacks.state(),
    consumed,
  });
  afterStep.push(state(0, 0, 0));
  afterEpoch.push(state(0, 0, 0));
  for (let epoch = 0; epoch < job.epochs && !callbacks.isStopped; epoch++) {
    totals = new Array<number>(9).fill(0);
    const order = orderOf(job, epoch);
    for (let from = 0, batch = 0; from < order.length; from += batchSize, batch++) {
      const rows = order.slice(from, from + batchSize);
      const sum = shardBatch(job, weights, 'train', step, rows);
      ledgers.push(sum.sums[5]);
      gradients.push(new Uint32Array(sum.gradient.slice().buffer));
      const loss = sum.sums[0] + sum.sums[1] / sum.sums[2];
      update(job, weights, first, second, sum, callbacks.learningRate ?? rates[optimizer], step);
      step += 1;
      totals[0] += rows.length;
      totals[1] += rows.length * loss;
      sum.sums.forEach((value, i) => {
        totals[2 + i] += value;
      });
      callbacks.endBatch(totals[1] / totals[0], weights);
      afterStep.push(state(epoch, batch + 1, from + rows.length));
    }
    const validation = validatedEpochs.includes(epoch + 1) ? logsOf(evaluate(job, weights)) : null;
    callbacks.endEpoch(epoch, logsOf(totals), validation, weights);
    totals = new Array<number>(9).fill(0);
    afterEpoch.push(state(epoch + 1, 0, 0));
  }
  const best = callbacks.bestWeights;
  return {
    job,
    afterStep,
    afterEpoch,
    ledgers,
    gradients,
    steps: step,
    finalWeights: new Uint32Array((best ?? weights).slice().buffer),
  };
}

/** The rows of an epoch in the order they are trained on. */
function orderOf(job: TinyJob, epoch: number): number[] {
  const random = new Random(deriveSeed(job.seed, 'shuffle', epoch));
  if (!job.isStream) return [...random.permutation(job.rows)];
  const buffer: number[] = [];
  const order: number[] = [];
  let read = 0;
  for (;;) {
    while (read < job.rows && buffer.length < shuffleBuffer)
      buffer.push(recordOf(job, epoch, read++).x[0].data[0]);
    if (buffer.length === 0) return order;
    const at = random.below(buffer.length);
    order.push(buffer[at]);
    const last = buffer.pop() as number;
    if (at < buffer.length) buffer[at] = last;
  }
}

export const shuffleBuffer = 6;

/** Rows of the validation follow those of the training. */
export const validationRow = (job: TinyJob, row: number): number => job.rows + row;

function evaluate(job: TinyJob, weights: Float32Array): number[] {
  const totals = new Array<number>(9).fill(0);
  for (let from = 0; from < job.validationRows; from += job.batchSize) {
    const rows: number[] = [];
    for (let i = from; i < Math.min(from + job.batchSize, job.validationRows); i++)
      rows.push(validationRow(job, i));
    const { sums } = shardBatch(job, weights, 'evaluate', 0, rows);
    totals[0] += rows.length;
    totals[1] += rows.length * (sums[0] + sums[1] / sums[2]);
    sums.forEach((value, i) => {
      totals[2 + i] += value;
    });
  }
  return totals;
}

const logsOf = (totals: readonly number[]): Record<string, number> => ({
  loss: totals[1] / totals[0],
  mae: totals[5] / totals[6],
  ledger: totals[7] / totals[8],
});

/** Clipping by the global norm, Adam or momentum, running statistics: on `weights`, in place. */
function update(
  { optimizer, globalClipNorm }: TinyJob,
  weights: Float32Array,
  first: Float32Array,
  second: Float32Array,
  { gradient, moments: [site] }: ShardPartial,
  rate: number,
  iteration: number,
): void {
  const trainable = manifest.weights.filter((weight) => weight.trainable);
  if (globalClipNorm !== null) {
    const squares = trainable.map(({ offset, size }) => {
      let sum = 0;
      for (let i = offset; i < offset + size; i++) sum += gradient[i] * gradient[i];
      return sum;
    });
    const norm = Math.sqrt(pairwise(squares, 0, squares.length));
    if (norm > globalClipNorm) {
      const scale = globalClipNorm / norm;
      for (let i = 0; i < gradient.length; i++) gradient[i] *= scale;
    }
  }
  const t = iteration + 1;
  const corrected = (rate * Math.sqrt(1 - power(0.999, t))) / (1 - power(0.9, t));
  for (let i = 0; i < manifest.trainableSize; i++) {
    const g = gradient[i];
    if (optimizer === 'adam') {
      const m = first[i] + (g - first[i]) * (1 - 0.9);
      const v = second[i] + (g * g - second[i]) * (1 - 0.999);
      first[i] = m;
      second[i] = v;
      weights[i] = weights[i] - (m * corrected) / (Math.sqrt(v) + 1e-7);
    } else {
      const velocity = 0.9 * first[i] - rate * g;
      first[i] = velocity;
      weights[i] = weights[i] + velocity;
    }
  }
  const [, , , , meanAt, varianceAt] = offsets;
  for (let c = 0; c < units; c++) {
    weights[meanAt + c] = batchNormMomentum * weights[meanAt + c] + (1 - batchNormMomentum) * site.mean[c];
    weights[varianceAt + c] =
      batchNormMomentum * weights[varianceAt + c] + (1 - batchNormMomentum) * (site.m2[c] / site.count);
  }
}

/** Sums along the tree: the left part is the largest power of two below the whole. */
function pairwise(values: readonly number[], lo: number, hi: number): number {
  if (hi - lo === 1) return values[lo];
  let left = 1;
  while (left * 2 < hi - lo) left *= 2;
  return pairwise(values, lo, lo + left) + pairwise(values, lo + left, hi);
}

function slotBits(first: Float32Array, second: Float32Array, slots: number): Uint32Array {
  const all: number[] = [];
  for (const { offset, size, trainable } of manifest.weights) {
    if (!trainable) continue;
    all.push(...first.subarray(offset, offset + size));
    if (slots === 2) all.push(...second.subarray(offset, offset + size));
  }
  return new Uint32Array(Float32Array.from(all).buffer);
}

/** Whether every epoch of the reference trains on each row exactly once. */
export function countsEachSampleOnce({ job, afterEpoch, ledgers }: Reference): boolean {
  const whole = Array.from({ length: job.rows }, (_, row) => 2 ** rowOf(job, row).x[0]).reduce(
    (a, b) => a + b,
  );
  return afterEpoch.slice(1).every(({ step }, epoch) => {
    const own = ledgers.slice(afterEpoch[epoch].step, step);
    return own.reduce((a, b) => a + b, 0) === whole;
  });
}
