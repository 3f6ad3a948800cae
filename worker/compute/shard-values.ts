import type { JobFunctions } from '../../shared/job-functions.js';
import type { Moments, ShardPartial } from '../../shared/partial.js';
import type { ProgramSpec, ShardTask } from '../../shared/program.js';
import type { SumsLayout } from '../../shared/sums.js';
import type { TensorData } from '../../shared/tensors.js';
import { Labels } from './labels.js';
import { scoresOf } from './metrics/counts.js';
import { metricOf } from './metrics/metric.js';
import { weightedSum } from './weighting.js';

/** What the tensor operations of a shard come to, besides the gradient: tensors, or their values once read. */
export interface ShardValues<Value> {
  /** Per output, its shape for the shard's rows. */
  readonly predictionShapes: readonly (readonly number[])[];
  /** Per output: the per-sample losses. */
  readonly losses: readonly Value[];
  /** Per metric: its per-sample values, or the predictions for one that is counted on the host. */
  readonly metrics: readonly Value[];
  readonly regularization: Value | null;
  /** One entry per call of a BatchNormalization layer in training, in call order; `batchNorm` as in `Moments`. */
  readonly moments: readonly BatchNormValues<Value>[];
}

export interface BatchNormValues<Value> {
  readonly batchNorm: number;
  readonly count: number;
  readonly mean: Value;
  readonly variance: Value;
}

/** Every value, in an order that depends on the program and the shapes alone. */
export function listOf<Value>(values: ShardValues<Value>): Value[] {
  const { losses, metrics, regularization, moments } = values;
  const ofBatchNorms = moments.flatMap(({ mean, variance }) => [mean, variance]);
  return [...losses, ...metrics, ...(regularization === null ? [] : [regularization]), ...ofBatchNorms];
}

/** The same values, each replaced by what stands at its place in `list`. */
export function withList<Value, Other>(
  values: ShardValues<Value>,
  list: readonly Other[],
): ShardValues<Other> {
  const rest = list.values();
  const next = (): Other => rest.next().value as Other;
  return {
    predictionShapes: values.predictionShapes,
    losses: values.losses.map(next),
    metrics: values.metrics.map(next),
    regularization: values.regularization === null ? null : next(),
    moments: values.moments.map(({ batchNorm, count }) => ({
      batchNorm,
      count,
      mean: next(),
      variance: next(),
    })),
  };
}

/** Adds up on the host, in float64, what a shard's values come to. */
export function partialOf(
  program: { readonly spec: ProgramSpec; readonly functions: JobFunctions; readonly layout: SumsLayout },
  { data: { y, sampleWeights } }: ShardTask,
  values: ShardValues<TensorData>,
  gradient: Float32Array,
): ShardPartial {
  const { spec, functions, layout } = program;
  const sums = new Float64Array(layout.length);
  const scores: Float32Array[] = [];
  if (values.regularization !== null) sums[layout.regularization] = values.regularization[0];
  values.losses.forEach((losses, output) => {
    const { loss, elements } = layout.outputs[output];
    sums[loss] = weightedSum(losses, sampleWeights[output]?.data ?? null)[0];
    sums[elements] = losses.length;
  });
  spec.metrics.forEach(({ metric: ref, output, weighted }, index) => {
    const shape = values.predictionShapes[output];
    const labels = new Labels(y[output], shape, { index: output, name: spec.outputs[output].name });
    const metric = metricOf(ref, functions, labels, shape);
    const weights = weighted ? (sampleWeights[output]?.data ?? null) : null;
    const place = layout.metrics[index];
    const read = values.metrics[index];
    if (metric.kind === 'values') {
      if (place.kind === 'sums') sums.set(weightedSum(read, weights), place.offset);
      return;
    }
    labels.requireDense();
    const elements = { labels: labels.host.data, predictions: read, weights };
    if (metric.kind === 'scores') scores.push(scoresOf(elements));
    else if (place.kind === 'sums') {
      metric.count(elements, sums.subarray(place.offset, place.offset + place.size));
    }
  });
  return { gradient, sums, moments: values.moments.map(momentsOf), scores };
}

function momentsOf({ batchNorm, count, mean, variance }: BatchNormValues<TensorData>): Moments {
  const m2 = Float64Array.from(variance, (value) => value * count);
  return { batchNorm, count, mean: Float64Array.from(mean), m2 };
}
