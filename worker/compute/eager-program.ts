import * as tf from '@tensorflow/tfjs';
import type { Clock } from '../../shared/clock.js';
import { invariant } from '../../shared/errors.js';
import type { JobFunctions } from '../../shared/job-functions.js';
import type { ShardPartial } from '../../shared/partial.js';
import type { ProgramSpec, ShardProgram, ShardTask } from '../../shared/program.js';
import { deriveSeed, withSeededMathRandom } from '../../shared/random.js';
import type { HostTensor, TensorData } from '../../shared/tensors.js';
import { buildModel } from './build-model.js';
import type { BuiltProgram } from './built-program.js';
import { type Canary, canaryData, canaryWeights, computeCanary } from './canary.js';
import { rowShapesOf } from './model-inputs.js';
import { explainOutOfMemory } from './out-of-memory.js';
import { type Owned, ShardStep } from './shard-step.js';
import { listOf, partialOf, withList } from './shard-values.js';

/**
 * Builds the program that computes shards op by op on the present TensorFlow.js backend.
 *
 * @param functions the job's own losses and metrics; empty if it has none
 * @throws LockstepError MODEL_UNSUPPORTED, CODE_NOT_PORTABLE
 */
export async function createEagerProgram(spec: ProgramSpec, functions: JobFunctions): Promise<BuiltProgram> {
  const { model, manifest } = await buildModel(spec);
  const program = new EagerProgram(new ShardStep(spec, functions, model, manifest));
  const canary = (rows: number, clock: Clock): Promise<Canary | null> => {
    const weights = canaryWeights(manifest);
    return computeCanary(program, { weights, data: () => canaryData(model, spec, rows), rows }, clock);
  };
  return { program, manifest, rows: rowShapesOf(model), canary };
}

/** Runs a step op by op. */
export class EagerProgram implements ShardProgram {
  readonly #step: ShardStep;

  constructor(step: ShardStep) {
    this.#step = step;
  }

  setWeights(flat: Float32Array): void {
    const { manifest, variables } = this.#step;
    invariant(flat.length === manifest.totalSize, `${flat.length} weights`);
    manifest.weights.forEach(({ offset, size, shape }, index) => {
      const value = tf.tensor(flat.subarray(offset, offset + size), [...shape], 'float32');
      variables[index].assign(value);
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
    const seed = deriveSeed(this.#step.spec.seed, 'shard');
    let outputs: tf.Tensor[] = [];
    try {
      outputs = withSeededMathRandom(seed, () => this.#step.predict(x));
      return await Promise.all(outputs.map(hostTensorOf));
    } catch (error) {
      throw explainOutOfMemory(error);
    } finally {
      tf.dispose(outputs);
      this.#step.forget();
    }
  }

  dispose(): void {
    this.#step.dispose();
  }

  async #shard(task: ShardTask, training: boolean): Promise<ShardPartial> {
    const step = this.#step;
    const owned: Owned = [];
    try {
      const seed = deriveSeed(step.spec.seed, 'shard', task.step, task.shard);
      const computed = withSeededMathRandom(seed, () => step.compute(task, training, owned));
      const gradient = new Float32Array(training ? step.manifest.trainableSize : 0);
      for (const [index, { offset }] of step.manifest.weights.entries()) {
        const tensor = computed.gradients[index];
        if (tensor !== null) gradient.set(await tensor.data(), offset);
      }
      const read: TensorData[] = [];
      for (const tensor of listOf(computed.values)) read.push((await tensor.data()) as TensorData);
      return partialOf(step, task, withList(computed.values, read), gradient);
    } catch (error) {
      throw explainOutOfMemory(error);
    } finally {
      for (const resource of owned) resource.dispose();
      step.forget();
    }
  }
}

async function hostTensorOf(tensor: tf.Tensor): Promise<HostTensor> {
  const data = await tensor.data();
  const dtype = tensor.dtype;
  invariant(dtype === 'float32' || dtype === 'int32' || dtype === 'bool', `an output is ${dtype}`);
  return { dtype, shape: tensor.shape, data };
}
