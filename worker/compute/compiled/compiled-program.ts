import type { Clock } from '../../../shared/clock.js';
import { invariant, LockstepError } from '../../../shared/errors.js';
import type { JobFunctions } from '../../../shared/job-functions.js';
import type { ShardPartial } from '../../../shared/partial.js';
import type { ProgramSpec, ShardProgram, ShardTask } from '../../../shared/program.js';
import type { HostTensor, TensorData } from '../../../shared/tensors.js';
import { buildModel } from '../build-model.js';
import { canaryData, canaryWeights, computeCanary } from '../canary.js';
import { type BuiltProgram, EagerProgram } from '../eager-program.js';
import { rowShapesOf } from '../model-inputs.js';
import { explainOutOfMemory } from '../out-of-memory.js';
import { ShardStep } from '../shard-step.js';
import { listOf, partialOf, type ShardValues, withList } from '../shard-values.js';
import { compareWithEager, firstRows } from './comparison.js';
import { CompiledStep } from './compiled-step.js';
import { predictionFeeds, shardFeeds } from './feeds.js';
import type { Value } from './graph.js';
import { CompileRefusal } from './refusal.js';
import { tracePrediction, traceShard } from './trace-step.js';

/** Steps that are kept ready: one per set of shapes, of which a run has few. */
const maxSteps = 16;

type Kind = 'train' | 'evaluate';

interface CompiledShard {
  readonly step: CompiledStep;
  readonly values: ShardValues<Value>;
}

interface CompiledPrediction {
  readonly step: CompiledStep;
  readonly outputs: readonly Value[];
}

/**
 * Builds the program that traces each step once per set of shapes and lets ONNX Runtime run the graph. A `cpu`
 * backend of TensorFlow.js must be current: it holds the model and checks the first results.
 *
 * @param functions the job's own losses and metrics; empty if it has none
 * @throws LockstepError MODEL_UNSUPPORTED, CODE_NOT_PORTABLE
 */
export async function createCompiledProgram(
  spec: ProgramSpec,
  functions: JobFunctions,
  threads: number,
): Promise<BuiltProgram> {
  const { model, manifest } = await buildModel(spec);
  const program = new CompiledProgram(new ShardStep(spec, functions, model, manifest), threads);
  const canary = (rows: number, clock: Clock) => {
    const weights = canaryWeights(manifest);
    return computeCanary(
      program.unchecked,
      { weights, data: () => canaryData(model, spec, rows), rows },
      clock,
    );
  };
  return { program, manifest, rows: rowShapesOf(model), canary };
}

class CompiledProgram implements ShardProgram {
  readonly #step: ShardStep;
  readonly #threads: number;
  readonly #eager: EagerProgram;
  readonly #shards = new Map<string, CompiledShard>();
  readonly #predictions = new Map<string, CompiledPrediction>();
  /** Which kinds have been compared with the eager program. */
  readonly #compared = new Set<Kind>();
  #weights: Float32Array | null = null;

  constructor(step: ShardStep, threads: number) {
    this.#step = step;
    this.#threads = threads;
    this.#eager = new EagerProgram(step);
  }

  setWeights(flat: Float32Array): void {
    invariant(flat.length === this.#step.manifest.totalSize, `${flat.length} weights`);
    this.#weights = flat;
  }

  train(task: ShardTask): Promise<ShardPartial> {
    return this.#shard('train', task);
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
      const key = shapesOf(x);
      let compiled = this.#predictions.get(key);
      if (compiled === undefined) {
        const traced = tracePrediction(this.#step, x);
        const step = await CompiledStep.create(traced, [], traced.outputs, this.#threads);
        compiled = { step, outputs: traced.outputs };
        await keep(this.#predictions, key, compiled);
      }
      const feeds = predictionFeeds(this.#step, x, compiled.step.fed);
      const read = await this.#run(compiled.step, feeds, new Float32Array(0));
      return compiled.outputs.map(({ dtype, shape }, i) => ({ dtype, shape, data: read[i] }));
    });
  }

  dispose(): void {
    for (const { step } of [...this.#shards.values(), ...this.#predictions.values()]) void step.dispose();
    this.#shards.clear();
    this.#predictions.clear();
    this.#step.dispose();
  }

  async #shard(kind: Kind, task: ShardTask): Promise<ShardPartial> {
    return explaining(async () => {
      if (!this.#compared.has(kind)) {
        const small = firstRows(task);
        this.#eager.setWeights(this.#held);
        compareWithEager(this.#step.manifest, {
          eager: await this.#eager[kind](small),
          compiled: await this.#compute(kind, small),
        });
        this.#compared.add(kind);
      }
      return this.#compute(kind, task);
    });
  }

  async #compute(kind: Kind, task: ShardTask): Promise<ShardPartial> {
    const { step, values } = await this.#compiled(kind, task);
    const feeds = shardFeeds(this.#step, task, step.fed, values.predictionShapes);
    const gradient = new Float32Array(kind === 'train' ? this.#step.manifest.trainableSize : 0);
    const read = await this.#run(step, feeds, gradient);
    return partialOf(this.#step, task, withList(values, read), gradient);
  }

  async #compiled(kind: Kind, task: ShardTask): Promise<CompiledShard> {
    const { x, y, sampleWeights } = task.data;
    const shapes = [x, y, sampleWeights].map(shapesOf);
    const key = JSON.stringify([kind, this.#step.regularizes(task), ...shapes]);
    const known = this.#shards.get(key);
    if (known !== undefined) return known;
    const traced = traceShard(this.#step, task, kind === 'train');
    const gradients = kind === 'train' ? traced.gradients : [];
    const step = await CompiledStep.create(traced, gradients, listOf(traced.values), this.#threads);
    const compiled = { step, values: traced.values };
    await keep(this.#shards, key, compiled);
    return compiled;
  }

  get #held(): Float32Array {
    invariant(this.#weights !== null, 'a shard before the weights');
    return this.#weights;
  }

  #run(
    step: CompiledStep,
    feeds: Parameters<CompiledStep['run']>[2],
    gradient: Float32Array,
  ): Promise<TensorData[]> {
    return step.run(this.#step.manifest, this.#held, feeds, gradient);
  }
}

const shapesOf = (tensors: readonly (HostTensor | null)[]): string =>
  JSON.stringify(tensors.map((tensor) => tensor?.shape ?? null));

/** Adds an entry, and lets go of the oldest when there are too many. */
async function keep<T extends { step: CompiledStep }>(
  kept: Map<string, T>,
  key: string,
  entry: T,
): Promise<void> {
  kept.set(key, entry);
  const [oldest] = kept;
  if (kept.size <= maxSteps || oldest === undefined) return;
  kept.delete(oldest[0]);
  await oldest[1].step.dispose();
}

async function explaining<T>(compute: () => Promise<T>): Promise<T> {
  try {
    return await compute();
  } catch (error) {
    if (!(error instanceof CompileRefusal)) throw explainOutOfMemory(error);
    throw new LockstepError('MODEL_UNSUPPORTED', `the model cannot be compiled: ${error.message}`, {
      hint: 'Choose a backend that computes it op by op: --backend auto.',
      cause: error,
    });
  }
}
