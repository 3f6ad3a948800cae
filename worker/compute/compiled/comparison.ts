import type { Manifest } from '../../../shared/manifest.js';
import type { ShardPartial } from '../../../shared/partial.js';
import type { ShardTask } from '../../../shared/program.js';
import { lossSumsOf } from '../../../shared/sums.js';
import { type HostTensor, sliceRows } from '../../../shared/tensors.js';
import { CompileRefusal } from './refusal.js';

/** Rows that are computed op by op too: BatchNormalization needs two. */
export const comparedRows = 2;

/**
 * How far compiled values may be from eager ones, in norms: relative to their own, and for the gradient of a variable
 * a share of the whole gradient's as well, since some nearly cancel, as that of a bias before BatchNormalization.
 */
const tolerance = { ofItself: 1e-3, ofGradient: 1e-5 };

/** Below this a sum of losses or a statistic is rounding of larger numbers that cancel. */
const negligible = 1e-6;

/** The task with the first rows of its data. */
export function firstRows(task: ShardTask): ShardTask {
  const { x, y, sampleWeights } = task.data;
  const cut = (tensor: HostTensor) => sliceRows(tensor, 0, Math.min(comparedRows, tensor.shape[0]));
  const data = {
    x: x.map(cut),
    y: y.map(cut),
    sampleWeights: sampleWeights.map((weights) => weights && cut(weights)),
  };
  return { ...task, data };
}

interface Pair<T> {
  readonly eager: T;
  readonly compiled: T;
}

/**
 * Checks what the two programs make of the same shard: the gradient, by variable, the statistics of
 * BatchNormalization and the sums of losses.
 * @param metrics whether those of metrics are checked too: predictions of real data may tie, and then their rank is
 * decided by rounding
 * @throws CompileRefusal if they differ by more than rounding
 */
export function compareShards(
  { weights }: Manifest,
  { eager, compiled }: Pair<ShardPartial>,
  { outputs, metrics }: { readonly outputs: number; readonly metrics: boolean },
): void {
  const whole = norm(eager.gradient);
  const trained = eager.gradient.length === 0 ? [] : weights.filter(({ trainable }) => trainable);
  for (const { name, offset, size } of trained) {
    const part = ({ gradient }: ShardPartial) => gradient.subarray(offset, offset + size);
    const pair = { eager: part(eager), compiled: part(compiled) };
    requireClose(`the gradient of ${name}`, pair, tolerance.ofGradient * whole);
  }
  eager.moments.forEach(({ mean, m2 }, index) => {
    const other = compiled.moments[index];
    requireClose('a mean of BatchNormalization', { eager: mean, compiled: other.mean }, negligible);
    requireClose('a variance of BatchNormalization', { eager: m2, compiled: other.m2 }, negligible);
  });
  const compared = metrics ? eager.sums.length : lossSumsOf(outputs);
  for (let i = 0; i < compared; i++) {
    const pair = {
      eager: eager.sums.subarray(i, i + 1),
      compiled: compiled.sums.subarray(i, i + 1),
    };
    requireClose(i < lossSumsOf(outputs) ? 'the loss' : 'a metric', pair, negligible);
  }
  eager.scores.forEach((scores, index) => {
    requireClose('a score', { eager: scores, compiled: compiled.scores[index] }, negligible);
  });
}

/** The same for predictions. @throws CompileRefusal */
export function comparePredictions({ eager, compiled }: Pair<readonly HostTensor[]>): void {
  eager.forEach(({ data }, index) => {
    requireClose('a prediction', { eager: data, compiled: compiled[index].data }, negligible);
  });
}

/** @param allowance added to what is allowed relative to the eager values' norm */
function requireClose(what: string, { eager, compiled }: Pair<ArrayLike<number>>, allowance: number): void {
  const expected = norm(eager);
  const difference = norm(Array.from(eager, (value, i) => value - compiled[i]));
  const allowed = tolerance.ofItself * expected + allowance;
  // What is not finite op by op tells nothing; the run's own policy meets it.
  if (!Number.isFinite(allowed) || difference <= allowed) return;
  const numbers = `by ${difference.toPrecision(3)} at a norm of ${expected.toPrecision(3)}`;
  throw new CompileRefusal(`compiled, ${what} differs from the model's op by op, ${numbers}`, {});
}

function norm(values: ArrayLike<number>): number {
  let sum = 0;
  for (let i = 0; i < values.length; i++) sum += values[i] * values[i];
  return Math.sqrt(sum);
}
