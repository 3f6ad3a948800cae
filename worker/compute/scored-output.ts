import * as tf from '@tensorflow/tfjs';
import { LockstepError } from '../../shared/errors.js';
import type { JobFunctions } from '../../shared/job-functions.js';
import { isSparseLoss } from '../../shared/losses.js';
import type { FunctionRef, MetricSpec, OutputSpec } from '../../shared/program.js';
import type { MetricPlace } from '../../shared/sums.js';
import type { HostTensor } from '../../shared/tensors.js';
import { type LabelForm, Labels } from './labels.js';
import { lossOf } from './losses/loss.js';
import { scoresOf } from './metrics/counts.js';
import { metricOf } from './metrics/metric.js';
import { weightedSum, weightsFor } from './weighting.js';

/** Reads a metric of the shard into the shard's sums, or gives its scores. */
export type MetricReader = () => Promise<Float32Array | null>;

function formOf(loss: FunctionRef): LabelForm {
  if (loss.kind === 'job') return 'given';
  return isSparseLoss(loss) ? 'sparse' : 'dense';
}

/** One output of a shard with its labels, per-sample losses and metrics. Its tensors live until `dispose`. */
export class ScoredOutput {
  /** `predictions`' shape without its last axis. */
  readonly losses: tf.Tensor;
  readonly #predictions: tf.Tensor;
  readonly #labels: Labels;
  readonly #output: OutputSpec;
  readonly #weights: HostTensor | null;
  readonly #kept: tf.Tensor[];

  constructor(
    output: OutputSpec,
    functions: JobFunctions,
    predictions: tf.Tensor,
    labels: HostTensor,
    weights: HostTensor | null,
  ) {
    if (labels.shape[0] !== predictions.shape[0]) {
      throw new LockstepError(
        'SHAPE_MISMATCH',
        `output ${output.name} has ${predictions.shape[0]} rows, its labels ${labels.shape[0]}`,
        { hint: 'Every x and y needs the same number of rows.' },
      );
    }
    this.#output = output;
    this.#weights = weights;
    this.#labels = new Labels(labels, predictions.shape, output.name);
    const yTrue = this.#labels.as(formOf(output.loss));
    this.losses = tf.keep(lossOf(output.loss, functions)(yTrue, predictions));
    this.#predictions = tf.keep(predictions);
    this.#kept = [this.#predictions, this.losses];
  }

  /** The shard's summand of the output's weighted mean loss over a batch of `batchRows` rows: a scalar. */
  share(batchRows: number): tf.Scalar {
    const elementsPerRow = this.losses.size / this.losses.shape[0];
    const weights = this.#weights;
    const weighted =
      weights === null
        ? this.losses
        : tf.mul(this.losses, weightsFor(weights, this.losses.shape, this.#output.name));
    return tf.mul(tf.sum(weighted), this.#output.lossWeight / (batchRows * elementsPerRow));
  }

  /** Adds the losses to the sums at these places. */
  async readLoss(sums: Float64Array, places: { loss: number; elements: number }): Promise<void> {
    const [sum] = weightedSum(await this.losses.data(), this.#weights?.data ?? null);
    sums[places.loss] += sum;
    sums[places.elements] += this.losses.size;
  }

  /** Runs a metric's operations now, and gives what reads the result into `sums`. */
  metric(spec: MetricSpec, functions: JobFunctions, place: MetricPlace, sums: Float64Array): MetricReader {
    const predictions = this.#predictions;
    const weights = spec.weighted ? (this.#weights?.data ?? null) : null;
    const metric = metricOf(spec.metric, functions, this.#labels, predictions.shape);
    if (metric.kind === 'values') {
      const yTrue = this.#labels.as(metric.labels);
      const values = tf.tidy(() => metric.values(yTrue, predictions));
      this.#kept.push(values);
      return async () => {
        const [sum, weight] = weightedSum(await values.data(), weights);
        if (place.kind === 'sums') {
          sums[place.offset] += sum;
          sums[place.offset + 1] += weight;
        }
        return null;
      };
    }
    this.#labels.requireDense();
    const labels = this.#labels.host.data;
    return async () => {
      const elements = { labels, predictions: await predictions.data(), weights };
      if (metric.kind === 'scores') return scoresOf(elements);
      if (place.kind === 'sums') {
        metric.count(elements, sums.subarray(place.offset, place.offset + place.size));
      }
      return null;
    };
  }

  dispose(): void {
    tf.dispose(this.#kept);
    this.#labels.dispose();
  }
}
