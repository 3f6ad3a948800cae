import * as tf from '@tensorflow/tfjs';
import { invariant, LockstepError } from '../../shared/errors.js';
import type { JobFunctions } from '../../shared/job-functions.js';
import { layersOf, type Manifest } from '../../shared/manifest.js';
import type { Moments, ShardPartial } from '../../shared/partial.js';
import type { ProgramSpec, ShardProgram, ShardTask } from '../../shared/program.js';
import { deriveSeed, withSeededMathRandom } from '../../shared/random.js';
import { layoutOf, type SumsLayout } from '../../shared/sums.js';
import type { HostTensor } from '../../shared/tensors.js';
import { buildModel } from './build-model.js';
import { type BatchMoments, collectBatchMoments } from './layers/batch-moments.js';
import { uploadInputs } from './model-inputs.js';
import { explainOutOfMemory } from './out-of-memory.js';
import { cellsOf, forgetDropoutMasks, type RecurrentCell } from './recurrent-cells.js';
import { regularizersOf } from './regularization.js';
import { type MetricReader, ScoredOutput } from './scored-output.js';

/**
 * Builds the program that computes shards op by op on the present TensorFlow.js backend.
 *
 * @param functions the job's own losses and metrics; empty if it has none
 * @throws LockstepError MODEL_UNSUPPORTED, CODE_NOT_PORTABLE
 */
export async function createEagerProgram(
  spec: ProgramSpec,
  functions: JobFunctions,
): Promise<{ program: ShardProgram; manifest: Manifest }> {
  const { model, manifest } = await buildModel(spec);
  return { program: new EagerProgram(spec, functions, model, manifest), manifest };
}

/** What the synchronous part of a shard leaves to be read. All tensors are disposed by `dispose`. */
interface Computed {
  readonly outputs: readonly ScoredOutput[];
  readonly metrics: readonly MetricReader[];
  readonly sums: Float64Array;
  readonly regularization: tf.Scalar | null;
  /** By variable name; null for an evaluation. A variable that the loss does not use is missing. */
  readonly gradients: tf.NamedTensorMap | null;
  readonly moments: readonly BatchMoments[];
}

class EagerProgram implements ShardProgram {
  readonly #spec: ProgramSpec;
  readonly #functions: JobFunctions;
  readonly #model: tf.LayersModel;
  readonly #manifest: Manifest;
  readonly #layout: SumsLayout;
  /** In manifest order. */
  readonly #variables: readonly tf.Variable[];
  readonly #trained: tf.Variable[];
  readonly #regularizers: readonly (() => tf.Scalar)[];
  readonly #cells: readonly RecurrentCell[];
  readonly #batchNormOf: ReadonlyMap<tf.layers.Layer, number>;

  constructor(spec: ProgramSpec, functions: JobFunctions, model: tf.LayersModel, manifest: Manifest) {
    this.#spec = spec;
    this.#functions = functions;
    this.#model = model;
    this.#manifest = manifest;
    this.#layout = layoutOf(spec);
    this.#variables = model.weights.map((weight) => weight.read() as tf.Variable);
    this.#trained = this.#variables.filter((_, index) => manifest.weights[index].trainable);
    this.#regularizers = regularizersOf(model);
    const layers = layersOf(model);
    this.#cells = layers.flatMap(({ layer }) => cellsOf(layer));
    this.#batchNormOf = new Map(
      manifest.batchNorms.map(({ layer: path }, index) => {
        const placed = layers.find((candidate) => candidate.path === path);
        invariant(placed !== undefined, `no layer at ${path}`);
        return [placed.layer, index];
      }),
    );
  }

  setWeights(flat: Float32Array): void {
    invariant(flat.length === this.#manifest.totalSize, `${flat.length} weights`);
    this.#manifest.weights.forEach(({ offset, size, shape }, index) => {
      const value = tf.tensor(flat.subarray(offset, offset + size), [...shape], 'float32');
      this.#variables[index].assign(value);
      value.dispose();
    });
  }

  async train(task: ShardTask): Promise<ShardPartial> {
    return this.#shard(task, true);
  }

  async evaluate(task: ShardTask): Promise<ShardPartial> {
    return this.#shard(task, false);
  }

  async predict(x: readonly HostTensor[]): Promise<HostTensor[]> {
    let outputs: tf.Tensor[] = [];
    try {
      outputs = withSeededMathRandom(deriveSeed(this.#spec.seed, 'shard'), () =>
        tf.tidy(() => this.#forward(uploadInputs(this.#model, x), false)),
      );
      return await Promise.all(outputs.map(hostTensorOf));
    } catch (error) {
      throw explainOutOfMemory(error);
    } finally {
      tf.dispose(outputs);
      forgetDropoutMasks(this.#cells);
    }
  }

  dispose(): void {
    this.#model.dispose();
  }

  async #shard(task: ShardTask, training: boolean): Promise<ShardPartial> {
    const owned: { dispose(): void }[] = [];
    try {
      const seed = deriveSeed(this.#spec.seed, 'shard', task.step, task.shard);
      return await this.#read(withSeededMathRandom(seed, () => this.#compute(task, training, owned)));
    } catch (error) {
      throw explainOutOfMemory(error);
    } finally {
      for (const resource of owned) resource.dispose();
      forgetDropoutMasks(this.#cells);
    }
  }

  /** Everything that computes, in one synchronous piece; what it adds to `owned` is disposed after reading. */
  #compute(task: ShardTask, training: boolean, owned: { dispose(): void }[]): Computed {
    const own = <T extends { dispose(): void }>(resource: T): T => {
      owned.push(resource);
      return resource;
    };
    const inputs = uploadInputs(this.#model, task.data.x).map(own);
    const outputs: ScoredOutput[] = [];
    const moments: BatchMoments[] = [];
    let regularization: tf.Scalar | null = null;
    const loss = (): tf.Scalar => {
      const predictions = this.#forward(inputs, training);
      this.#spec.outputs.forEach((output, index) => {
        const { y, sampleWeights } = task.data;
        const weights = sampleWeights[index] ?? null;
        outputs.push(own(new ScoredOutput(output, this.#functions, predictions[index], y[index], weights)));
      });
      const shares = outputs.map((output) => output.share(task.batchRows));
      if (task.shard === 0 && this.#regularizers.length > 0) {
        regularization = own(tf.keep(sumOf(this.#regularizers.map((regularizer) => regularizer()))));
        shares.push(regularization);
      }
      return sumOf(shares);
    };
    const before = this.#variables.map((variable) => variable.dataId);
    let gradients: tf.NamedTensorMap | null = training ? {} : null;
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
    for (const gradient of Object.values(gradients ?? {})) own(gradient);
    this.#requireUnchanged(before);
    const sums = new Float64Array(this.#layout.length);
    const metrics = this.#spec.metrics.map((metric, index) =>
      outputs[metric.output].metric(metric, this.#functions, this.#layout.metrics[index], sums),
    );
    return { outputs, metrics, sums, regularization, gradients, moments: training ? moments : [] };
  }

  /** One tensor per output. */
  #forward(inputs: tf.Tensor[], training: boolean): tf.Tensor[] {
    const applied = this.#model.apply(inputs, { training }) as tf.Tensor | tf.Tensor[];
    return Array.isArray(applied) ? applied : [applied];
  }

  /** BatchNormalization emits its statistics; any other weight that a shard changes would depend on who computes. */
  #requireUnchanged(before: readonly object[]): void {
    const changed = this.#variables.findIndex((variable, index) => variable.dataId !== before[index]);
    if (changed === -1) return;
    const { name } = this.#manifest.weights[changed];
    throw new LockstepError('STATE_DRIFT', `a layer changed its weight ${name} while it computed a shard`, {
      hint: 'Layers may not update weights in call(); only BatchNormalization statistics are merged.',
    });
  }

  async #read(computed: Computed): Promise<ShardPartial> {
    const { outputs, metrics, sums, regularization, gradients, moments } = computed;
    const gradient = await this.#flatGradient(gradients);
    if (regularization !== null) sums[this.#layout.regularization] = (await regularization.data())[0];
    for (const [index, output] of outputs.entries()) await output.readLoss(sums, this.#layout.outputs[index]);
    const scores: Float32Array[] = [];
    for (const metric of metrics) {
      const found = await metric();
      if (found !== null) scores.push(found);
    }
    return {
      gradient,
      sums,
      moments: await Promise.all(moments.map((call) => this.#momentsOf(call))),
      scores,
    };
  }

  async #flatGradient(gradients: tf.NamedTensorMap | null): Promise<Float32Array> {
    if (gradients === null) return new Float32Array(0);
    const flat = new Float32Array(this.#manifest.trainableSize);
    for (const [index, { offset }] of this.#manifest.weights.entries()) {
      const gradient = gradients[this.#variables[index].name];
      if (gradient !== undefined) flat.set(await gradient.data(), offset);
    }
    return flat;
  }

  async #momentsOf({ layer, count, mean, variance }: BatchMoments): Promise<Moments> {
    const batchNorm = this.#batchNormOf.get(layer);
    invariant(batchNorm !== undefined, `BatchNormalization ${layer.name} is not in the manifest`);
    const m2 = Float64Array.from(await variance.data(), (value) => value * count);
    return { batchNorm, count, mean: Float64Array.from(await mean.data()), m2 };
  }
}

function sumOf(scalars: readonly tf.Scalar[]): tf.Scalar {
  return scalars.reduce((sum, scalar) => tf.add(sum, scalar));
}

async function hostTensorOf(tensor: tf.Tensor): Promise<HostTensor> {
  const data = await tensor.data();
  const dtype = tensor.dtype;
  invariant(dtype === 'float32' || dtype === 'int32' || dtype === 'bool', `an output is ${dtype}`);
  return { dtype, shape: tensor.shape, data };
}
