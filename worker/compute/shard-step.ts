import * as tf from '@tensorflow/tfjs';
import { invariant, LockstepError } from '../../shared/errors.js';
import type { JobFunctions } from '../../shared/job-functions.js';
import { layersOf, type Manifest } from '../../shared/manifest.js';
import type { ProgramSpec, ShardTask } from '../../shared/program.js';
import { layoutOf, type SumsLayout } from '../../shared/sums.js';
import type { HostTensor } from '../../shared/tensors.js';
import { fed } from './fed.js';
import { type BatchMoments, collectBatchMoments } from './layers/batch-moments.js';
import { inputValues } from './model-inputs.js';
import { cellsOf, drawDropoutMasks, forgetDropoutMasks, type RecurrentCell } from './recurrent-cells.js';
import { regularizersOf } from './regularization.js';
import { ScoredOutput } from './scored-output.js';
import type { BatchNormValues, ShardValues } from './shard-values.js';

/** What the synchronous part of a shard leaves to be read, by whoever owns the tensors. */
export interface ComputedShard {
  readonly values: ShardValues<tf.Tensor>;
  /** Per weight of the manifest: null if it does not train, or the loss does not use it. */
  readonly gradients: readonly (tf.Tensor | null)[];
}

/** Takes what must be disposed once a shard has been read. */
export type Owned = { dispose(): void }[];

/**
 * The computation of a shard in tensor operations: the definition that every program follows, whether it runs them
 * one by one or traces them.
 */
export class ShardStep {
  readonly spec: ProgramSpec;
  readonly functions: JobFunctions;
  readonly layout: SumsLayout;
  readonly model: tf.LayersModel;
  readonly manifest: Manifest;
  /** In manifest order. */
  readonly variables: readonly tf.Variable[];
  readonly #trained: tf.Variable[];
  readonly #regularizers: readonly (() => tf.Scalar)[];
  readonly #cells: readonly RecurrentCell[];
  readonly #batchNormOf: ReadonlyMap<tf.layers.Layer, number>;

  constructor(spec: ProgramSpec, functions: JobFunctions, model: tf.LayersModel, manifest: Manifest) {
    this.spec = spec;
    this.functions = functions;
    this.layout = layoutOf(spec);
    this.model = model;
    this.manifest = manifest;
    this.variables = model.weights.map((weight) => weight.read() as tf.Variable);
    this.#trained = this.variables.filter((_, index) => manifest.weights[index].trainable);
    this.#regularizers = regularizersOf(model);
    const layers = layersOf(model);
    this.#cells = layers.flatMap(({ layer }) => cellsOf(layer));
    drawDropoutMasks(this.#cells);
    this.#batchNormOf = new Map(
      manifest.batchNorms.map(({ layer: path }, index) => {
        const placed = layers.find((candidate) => candidate.path === path);
        invariant(placed !== undefined, `no layer at ${path}`);
        return [placed.layer, index];
      }),
    );
  }

  /** Whether this shard adds the regularisation losses: the first one does. */
  regularizes({ shard }: Pick<ShardTask, 'shard'>): boolean {
    return shard === 0 && this.#regularizers.length > 0;
  }

  /**
   * Everything that computes, in one synchronous piece; what it adds to `owned` is to be disposed after reading,
   * also if it throws.
   * @throws LockstepError SHAPE_MISMATCH, LABEL_OUT_OF_RANGE, STATE_DRIFT, BATCHNORM_TOO_FEW, JOB_INVALID
   */
  compute(task: ShardTask, training: boolean, owned: Owned): ComputedShard {
    const own = <T extends { dispose(): void }>(resource: T): T => {
      owned.push(resource);
      return resource;
    };
    const inputs = this.#inputs(task.data.x).map(own);
    const outputs: ScoredOutput[] = [];
    const moments: BatchMoments[] = [];
    let regularization: tf.Scalar | null = null;
    const loss = (): tf.Scalar => {
      const predictions = this.#forward(inputs, training);
      this.spec.outputs.forEach((output, index) => {
        const { y, sampleWeights } = task.data;
        const weights = sampleWeights[index] ?? null;
        outputs.push(
          own(new ScoredOutput(output, index, this.functions, predictions[index], y[index], weights)),
        );
      });
      const shares = outputs.map((output) => output.share(task.batchRows));
      if (this.regularizes(task)) {
        regularization = own(tf.keep(sumOf(this.#regularizers.map((regularizer) => regularizer()))));
        shares.push(regularization);
      }
      return sumOf(shares);
    };
    const before = this.variables.map((variable) => variable.dataId);
    let gradients: tf.NamedTensorMap = {};
    try {
      if (training && this.#trained.length > 0) {
        const { value, grads } = collectBatchMoments(moments, () => tf.variableGrads(loss, this.#trained));
        own(value);
        gradients = grads;
      } else {
        collectBatchMoments(moments, () => tf.tidy(loss)).dispose();
      }
    } finally {
      for (const { mean, variance } of moments) owned.push(mean, variance);
    }
    for (const gradient of Object.values(gradients)) own(gradient);
    this.#requireUnchanged(before);
    return {
      values: {
        predictionShapes: outputs.map(({ predictions }) => predictions.shape),
        losses: outputs.map(({ losses }) => losses),
        metrics: this.spec.metrics.map((metric) => outputs[metric.output].metric(metric, this.functions)),
        regularization,
        moments: training ? moments.map((call) => this.#batchNormValues(call)) : [],
      },
      gradients: this.variables.map(({ name }) => gradients[name] ?? null),
    };
  }

  /** The model's outputs for the rows of `x`, in inference mode; the caller disposes them. */
  predict(x: readonly HostTensor[]): tf.Tensor[] {
    return tf.tidy(() => this.#forward(this.#inputs(x), false));
  }

  /** Drops what layers cache from one call to the next, so that nothing of a shard outlives it. */
  forget(): void {
    forgetDropoutMasks(this.#cells);
  }

  dispose(): void {
    this.model.dispose();
  }

  #inputs(x: readonly HostTensor[]): tf.Tensor[] {
    return inputValues(this.model, x).map((value, input) => fed({ kind: 'x', input }, () => value));
  }

  /** One tensor per output. */
  #forward(inputs: tf.Tensor[], training: boolean): tf.Tensor[] {
    const applied = this.model.apply(inputs, { training }) as tf.Tensor | tf.Tensor[];
    return Array.isArray(applied) ? applied : [applied];
  }

  /** BatchNormalization emits its statistics; any other weight that a shard changes would depend on who computes. */
  #requireUnchanged(before: readonly object[]): void {
    const changed = this.variables.findIndex((variable, index) => variable.dataId !== before[index]);
    if (changed === -1) return;
    const { name } = this.manifest.weights[changed];
    throw new LockstepError('STATE_DRIFT', `a layer changed its weight ${name} while it computed a shard`, {
      hint: 'Layers may not update weights in call(); only BatchNormalization statistics are merged.',
    });
  }

  #batchNormValues({ layer, count, mean, variance }: BatchMoments): BatchNormValues<tf.Tensor> {
    const batchNorm = this.#batchNormOf.get(layer);
    invariant(batchNorm !== undefined, `BatchNormalization ${layer.name} is not in the manifest`);
    return { batchNorm, count, mean, variance };
  }
}

function sumOf(scalars: readonly tf.Scalar[]): tf.Scalar {
  return scalars.reduce((sum, scalar) => tf.add(sum, scalar));
}
