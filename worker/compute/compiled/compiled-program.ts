import type { Clock } from '../../../shared/clock.js';
import { InvariantError, invariant, messageOf } from '../../../shared/errors.js';
import type { JobFunctions } from '../../../shared/job-functions.js';
import type { ShardPartial } from '../../../shared/partial.js';
import type { ProgramSpec, ShardProgram, ShardTask } from '../../../shared/program.js';
import { type HostTensor, sliceRows, type TensorData } from '../../../shared/tensors.js';
import { buildModel } from '../build-model.js';
import type { BuiltProgram, Trial } from '../built-program.js';
import { canaryData, canaryWeights, computeCanary } from '../canary.js';
import { rowShapesOf } from '../model-inputs.js';
import { notCompiled } from '../not-compiled.js';
import { explainOutOfMemory } from '../out-of-memory.js';
import { ShardStep } from '../shard-step.js';
import { listOf, partialOf, withList } from '../shard-values.js';
import { comparedRows, comparePredictions, compareShards, firstRows } from './comparison.js';
import { CompiledStep, type SessionSettings } from './compiled-step.js';
import { predictionFeeds, shardFeeds } from './feeds.js';
import { KeptSteps } from './kept-steps.js';
import { trialTask, trialWeights } from './made-up-shard.js';
import type { Provider } from './onnx/runtime-package.js';
import { ReferenceProgram } from './reference-program.js';
import { CompileRefusal } from './refusal.js';
import { StepCache } from './step-cache.js';
import type { StepFolder } from './step-folder.js';
import { predictionKey, shardKey } from './step-key.js';
import {
  type WrittenPrediction,
  type WrittenShard,
  type WrittenStep,
  writePrediction,
  writeShard,
} from './write-step.js';

/** Steps that are kept ready: one per set of shapes, of which a run has few. */
const maxSteps = 16;

type Kind = 'train' | 'evaluate';

interface CompiledShard {
  readonly step: CompiledStep;
  readonly values: WrittenShard['values'];
}

interface CompiledPrediction {
  readonly step: CompiledStep;
  readonly outputs: WrittenPrediction['outputs'];
}

/**
 * Builds the program that traces each step once per set of shapes and lets ONNX Runtime run the graph. An eager
 * backend of TensorFlow.js must be current: it holds the model and checks the first results.
 *
 * @param functions the job's own losses and metrics; empty if it has none
 * @param folder where steps are kept in files; null, also wherever code of a job has run, if they are not
 * @throws LockstepError MODEL_UNSUPPORTED, CODE_NOT_PORTABLE
 */
export async function createCompiledProgram(
  spec: ProgramSpec,
  functions: JobFunctions,
  threads: number,
  provider: Provider = 'cpu',
  folder: StepFolder | null = null,
): Promise<BuiltProgram> {
  const { model, manifest } = await buildModel(spec);
  const step = new ShardStep(spec, functions, model, manifest);
  const kept = folder === null || functions.size > 0 ? null : new KeptSteps(folder, step, provider);
  const program = new CompiledProgram(step, { threads, provider }, kept);
  const canary = (rows: number, clock: Clock) => {
    const weights = canaryWeights(manifest);
    const data = () => canaryData(model, spec, rows);
    return computeCanary(program.unchecked, { weights, data, rows }, clock);
  };
  const tryOut = (training: boolean) => {
    program.setWeights(trialWeights(manifest));
    return program.tryOut(trialTask(model, spec), training);
  };
  return { program, manifest, rows: rowShapesOf(model), canary, tryOut };
}

class CompiledProgram implements ShardProgram {
  readonly #step: ShardStep;
  readonly #settings: SessionSettings;
  readonly #kept: KeptSteps | null;
  readonly #eager: ReferenceProgram;
  readonly #shards = new StepCache<CompiledShard>(maxSteps);
  readonly #predictions = new StepCache<CompiledPrediction>(maxSteps);
  /** What has been compared with the eager program on the run's own data. */
  readonly #compared = new Set<Kind | 'predict'>();
  #weights: Float32Array | null = null;
  /** Memory of a gradient that nobody reads any more; fresh memory costs its page faults. */
  #spare: Float32Array | null = null;

  constructor(step: ShardStep, settings: SessionSettings, kept: KeptSteps | null) {
    this.#step = step;
    this.#settings = settings;
    this.#kept = kept;
    this.#eager = new ReferenceProgram(step);
  }

  setWeights(flat: Float32Array): void {
    invariant(flat.length === this.#step.manifest.totalSize, `${flat.length} weights`);
    this.#weights = flat;
  }

  train(task: ShardTask): Promise<ShardPartial> {
    return this.#shard('train', task);
  }

  recycle(gradient: Float32Array): void {
    if (gradient.length === this.#step.manifest.trainableSize) this.#spare = gradient;
  }

  evaluate(task: ShardTask): Promise<ShardPartial> {
    return this.#shard('evaluate', task);
  }

  /** The program without the comparison, which made-up data would use up. */
  get unchecked(): Pick<ShardProgram, 'setWeights' | 'train'> {
    return {
      setWeights: (flat) => this.setWeights(flat),
      train: (task) => explaining(() => this.#compute('train', task)),
    };
  }

  async predict(x: readonly HostTensor[]): Promise<HostTensor[]> {
    return explaining(async () => {
      if (!this.#compared.has('predict')) {
        await this.#comparePrediction(
          x.map((input) => sliceRows(input, 0, Math.min(comparedRows, input.shape[0]))),
        );
        this.#compared.add('predict');
      }
      return this.#predict(x);
    });
  }

  /** Compares everything that it is to compute with the eager program, on a made-up shard. */
  async tryOut(task: ShardTask, training: boolean): Promise<Trial> {
    try {
      if (training) await this.#compareShard('train', task, { metrics: true });
      await this.#compareShard('evaluate', task, { metrics: true });
      if (!training) await this.#comparePrediction(task.data.x);
      return { verdict: 'fits' };
    } catch (error) {
      if (error instanceof CompileRefusal) return { verdict: 'refused', reason: error.message };
      if (error instanceof InvariantError) throw error;
      return { verdict: 'unknown', reason: messageOf(error).split('\n')[0] };
    }
  }

  dispose(): void {
    void this.#shards.dispose();
    void this.#predictions.dispose();
    this.#step.dispose();
  }

  async #shard(kind: Kind, task: ShardTask): Promise<ShardPartial> {
    return explaining(async () => {
      if (!this.#compared.has(kind)) {
        await this.#compareShard(kind, firstRows(task), { metrics: false });
        this.#compared.add(kind);
      }
      return this.#compute(kind, task);
    });
  }

  /** @throws CompileRefusal */
  async #compareShard(kind: Kind, task: ShardTask, { metrics }: { metrics: boolean }): Promise<void> {
    const compiled = await this.#compute(kind, task);
    const eager = await this.#eager.with(this.#held, (program) => program[kind](task));
    const outputs = this.#step.spec.outputs.length;
    compareShards(this.#step.manifest, { eager, compiled }, { outputs, metrics });
  }

  /** @throws CompileRefusal */
  async #comparePrediction(x: readonly HostTensor[]): Promise<void> {
    const compiled = await this.#predict(x);
    const eager = await this.#eager.with(this.#held, (program) => program.predict(x));
    comparePredictions({ eager, compiled });
  }

  async #predict(x: readonly HostTensor[]): Promise<HostTensor[]> {
    const key = predictionKey(x);
    const { step, outputs } = await this.#predictions.get(key, async () => {
      const written = this.#written(key, () => writePrediction(this.#step, x, this.#settings.provider));
      return { step: await CompiledStep.create(written, this.#settings), outputs: written.outputs };
    });
    const feeds = predictionFeeds(this.#step, x, step.fed);
    const names = outputs.map(({ name }) => name);
    const read = await this.#run(step, feeds, new Float32Array(0), names);
    return outputs.map(({ dtype, shape }, i) => ({ dtype, shape, data: read[i] }));
  }

  async #compute(kind: Kind, task: ShardTask): Promise<ShardPartial> {
    const { step, values } = await this.#compiled(kind, task);
    const feeds = shardFeeds(this.#step, task, step.fed, values.predictionShapes);
    const gradient = kind === 'train' ? this.#zeros() : new Float32Array(0);
    const read = await this.#run(step, feeds, gradient, listOf(values));
    return partialOf(this.#step, task, withList(values, read), gradient);
  }

  #zeros(): Float32Array {
    const spare = this.#spare?.fill(0);
    this.#spare = null;
    return spare ?? new Float32Array(this.#step.manifest.trainableSize);
  }

  #compiled(kind: Kind, task: ShardTask): Promise<CompiledShard> {
    const key = shardKey(this.#step, kind, task);
    return this.#shards.get(key, async () => {
      const written = this.#written(key, () =>
        writeShard(this.#step, task, kind === 'train', this.#settings.provider),
      );
      return { step: await CompiledStep.create(written, this.#settings), values: written.values };
    });
  }

  #written<Step extends WrittenStep>(key: string, write: () => Step): Step {
    return this.#kept === null ? write() : this.#kept.get(key, write);
  }

  get #held(): Float32Array {
    invariant(this.#weights !== null, 'a shard before the weights');
    return this.#weights;
  }

  #run(
    step: CompiledStep,
    feeds: Parameters<CompiledStep['run']>[2],
    gradient: Float32Array,
    wanted: readonly string[],
  ): Promise<TensorData[]> {
    return step.run(this.#step.manifest, this.#held, feeds, gradient, wanted);
  }
}

async function explaining<T>(compute: () => Promise<T>): Promise<T> {
  try {
    return await compute();
  } catch (error) {
    throw error instanceof CompileRefusal ? notCompiled(error.message) : explainOutOfMemory(error);
  }
}
