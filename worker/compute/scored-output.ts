import * as tf from '@tensorflow/tfjs';
import { LockstepError } from '../../shared/errors.js';
import type { JobFunctions } from '../../shared/job-functions.js';
import { isSparseLoss } from '../../shared/losses.js';
import type { FunctionRef, MetricSpec, OutputSpec } from '../../shared/program.js';
import type { HostTensor } from '../../shared/tensors.js';
import { fed } from './fed.js';
import { type LabelForm, Labels } from './labels.js';
import { lossOf } from './losses/loss.js';
import { metricOf } from './metrics/metric.js';
import { lossShare, weightsFor } from './weighting.js';

function formOf(loss: FunctionRef): LabelForm {
  if (loss.kind === 'job') return 'given';
  return isSparseLoss(loss) ? 'sparse' : 'dense';
}

/** One output of a shard with its labels, per-sample losses and metrics. Its tensors live until `dispose`. */
export class ScoredOutput {
  readonly predictions: tf.Tensor;
  /** `predictions`' shape without its last axis. */
  readonly losses: tf.Tensor;
  readonly #index: number;
  readonly #labels: Labels;
  readonly #output: OutputSpec;
  readonly #weights: HostTensor | null;
  readonly #kept: tf.Tensor[];

  /** @param index of the output in its program */
  constructor(
    output: OutputSpec,
    index: number,
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
    this.#index = index;
    this.#output = output;
    this.#weights = weights;
    this.#labels = new Labels(labels, predictions.shape, { index, name: output.name });
    const yTrue = this.#labels.as(formOf(output.loss));
    this.losses = tf.keep(lossOf(output.loss, functions)(yTrue, predictions));
    this.predictions = tf.keep(predictions);
    this.#kept = [this.predictions, this.losses];
  }

  /** The shard's summand of the output's weighted mean loss over a batch of `batchRows` rows: a scalar. */
  share(batchRows: number): tf.Scalar {
    const { shape, size } = this.losses;
    const elementsPerRow = size / shape[0];
    const output = this.#index;
    const factor = fed({ kind: 'share', output, elementsPerRow }, () =>
      lossShare(this.#output.lossWeight, batchRows, elementsPerRow),
    );
    return tf.mul(tf.sum(this.#weighted(this.losses)), factor);
  }

  #weighted(losses: tf.Tensor): tf.Tensor {
    const weights = this.#weights;
    if (weights === null) return losses;
    const { rank, shape } = losses;
    const source = { kind: 'sampleWeights', output: this.#index, rank } as const;
    return tf.mul(
      losses,
      fed(source, () => weightsFor(weights, shape, this.#output.name)),
    );
  }

  /** What is read for a metric: its per-sample values, or else the predictions. */
  metric(spec: MetricSpec, functions: JobFunctions): tf.Tensor {
    const metric = metricOf(spec.metric, functions, this.#labels, this.predictions.shape);
    if (metric.kind !== 'values') return this.predictions;
    const yTrue = this.#labels.as(metric.labels);
    const values = tf.tidy(() => metric.values(yTrue, this.predictions));
    this.#kept.push(values);
    return values;
  }

  dispose(): void {
    tf.dispose(this.#kept);
    this.#labels.dispose();
  }
}
