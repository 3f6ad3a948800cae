import type { Moments, ShardPartial } from '../../../shared/partial.js';
import type { ShardTask } from '../../../shared/program.js';
import { deriveSeed, Random } from '../../../shared/random.js';
import { dropoutRate, features, l2, manifest, offsets, units } from './tiny-job.js';

const epsilon = 1e-3;
const [kernelAt, biasAt, gammaAt, betaAt, meanAt, varianceAt, outAt, outBiasAt] = offsets;
const { fround } = Math;

/**
 * What a shard gives under these weights: a dense layer, batch normalisation with the shard's own moments, relu,
 * dropout and a dense output, in float32. Its gradient takes the moments for constants: it need not be the true one,
 * but every bit of it must follow from weights, rows, seed, step and shard.
 *
 * Sums: regularisation, Σ loss, elements, Σ |error|, rows, Σ 2^row (the ledger), rows.
 */
export function shardOf(
  weights: Float32Array,
  seed: number,
  kind: 'train' | 'evaluate',
  { step, shard, batchRows, data }: ShardTask,
): ShardPartial {
  const x = data.x[0].data as Float32Array;
  const y = data.y[0].data as Float32Array;
  const rows = y.length;
  const isTraining = kind === 'train';
  const hidden = new Float32Array(rows * units);
  for (let row = 0; row < rows; row++) {
    for (let unit = 0; unit < units; unit++) {
      let sum = weights[biasAt + unit];
      for (let i = 0; i < features; i++) {
        const value = i === 0 ? x[row * features] / 64 : x[row * features + i];
        sum = fround(sum + fround(value * weights[kernelAt + i * units + unit]));
      }
      hidden[row * units + unit] = sum;
    }
  }
  const moments = momentsOf(hidden, rows);
  // A unit that no row reaches gives -0, which an absent shard must not turn into +0.
  const gradient = new Float32Array(isTraining ? manifest.trainableSize : 0).fill(-0);
  const sums = new Float64Array(7);
  if (shard === 0) regularise(weights, gradient, sums, isTraining);
  const random = new Random(deriveSeed(seed, 'layer', step, shard));
  const active = new Float32Array(units);
  const slope = new Float32Array(units);
  const normal = new Float32Array(units);
  for (let row = 0; row < rows; row++) {
    let out = weights[outBiasAt];
    for (let unit = 0; unit < units; unit++) {
      const mean = isTraining ? moments.mean[unit] : weights[meanAt + unit];
      const variance = isTraining ? moments.m2[unit] / rows : weights[varianceAt + unit];
      normal[unit] = (hidden[row * units + unit] - mean) / Math.sqrt(variance + epsilon);
      const value = fround(normal[unit] * weights[gammaAt + unit] + weights[betaAt + unit]);
      const keeps = !isTraining || random.next() >= dropoutRate;
      slope[unit] = value > 0 && keeps ? (isTraining ? 1 / (1 - dropoutRate) : 1) : 0;
      active[unit] = value * slope[unit];
      out = fround(out + fround(active[unit] * weights[outAt + unit]));
    }
    const error = fround(out - y[row]);
    sums[1] += error * error;
    sums[2] += 1;
    sums[3] += Math.abs(error);
    sums[4] += 1;
    sums[5] += 2 ** x[row * features];
    sums[6] += 1;
    if (!isTraining) continue;
    const delta = fround((2 * error) / batchRows);
    gradient[outBiasAt] += delta;
    for (let unit = 0; unit < units; unit++) {
      gradient[outAt + unit] += delta * active[unit];
      const back = fround(delta * weights[outAt + unit] * slope[unit]);
      gradient[gammaAt + unit] += back * normal[unit];
      gradient[betaAt + unit] += back;
      const inner = fround(back * weights[gammaAt + unit]);
      gradient[biasAt + unit] += inner;
      for (let i = 0; i < features; i++) {
        const value = i === 0 ? x[row * features] / 64 : x[row * features + i];
        gradient[kernelAt + i * units + unit] += inner * value;
      }
    }
  }
  return { gradient, sums, moments: isTraining ? [moments] : [], scores: [] };
}

function momentsOf(hidden: Float32Array, rows: number): Moments {
  const mean = new Float64Array(units);
  const m2 = new Float64Array(units);
  for (let row = 0; row < rows; row++) {
    for (let unit = 0; unit < units; unit++) mean[unit] += hidden[row * units + unit] / rows;
  }
  for (let row = 0; row < rows; row++) {
    for (let unit = 0; unit < units; unit++) m2[unit] += (hidden[row * units + unit] - mean[unit]) ** 2;
  }
  return { batchNorm: 0, count: rows, mean, m2 };
}

function regularise(
  weights: Float32Array,
  gradient: Float32Array,
  sums: Float64Array,
  isTraining: boolean,
): void {
  for (let i = kernelAt; i < kernelAt + features * units; i++) {
    sums[0] += l2 * weights[i] * weights[i];
    if (isTraining) gradient[i] += 2 * l2 * weights[i];
  }
}
