import { invariant, LockstepError, messageOf } from '../../../shared/errors.js';
import type { Manifest } from '../../../shared/manifest.js';
import { sizeOf, type TensorData } from '../../../shared/tensors.js';
import type { FedValue } from '../fed.js';
import { type EmittedStep, emitStep } from './emit.js';
import type { Value } from './graph.js';
import { OnnxSession } from './onnx/runtime.js';
import type { Provider } from './onnx/runtime-package.js';
import { CompileRefusal } from './refusal.js';
import type { TracedPrediction } from './trace-step.js';

type Traced = Pick<TracedPrediction, 'calls' | 'fed' | 'weights'>;

/** What a step's session is made with, besides its graph. */
export interface SessionSettings {
  readonly threads: number;
  readonly provider: Provider;
}

/** A step of one set of shapes, ready to run. */
export class CompiledStep {
  readonly #emitted: EmittedStep;
  readonly #session: OnnxSession;
  /** Per weight of the manifest: the name of its gradient. */
  readonly #gradients: readonly (string | null)[];
  readonly #wanted: readonly string[];

  private constructor(emitted: EmittedStep, session: OnnxSession, gradients: readonly (Value | null)[]) {
    this.#emitted = emitted;
    this.#session = session;
    const names = emitted.outputs.values();
    this.#gradients = gradients.map((gradient) => (gradient === null ? null : (names.next().value ?? null)));
    this.#wanted = [...names];
  }

  /**
   * @param gradients per weight of the manifest, or none
   * @param wanted what else is read
   * @throws CompileRefusal
   */
  static async create(
    traced: Traced,
    gradients: readonly (Value | null)[],
    wanted: readonly Value[],
    { threads, provider }: SessionSettings,
  ): Promise<CompiledStep> {
    const found = gradients.filter((gradient) => gradient !== null);
    const emitted = emitStep(traced, [...found, ...wanted]);
    const session = await OnnxSession.create(emitted.model, threads, provider).catch((error: unknown) => {
      if (error instanceof LockstepError) throw error;
      throw new CompileRefusal(`ONNX Runtime refuses the step: ${messageOf(error).split('\n')[0]}`, {});
    });
    return new CompiledStep(emitted, session, gradients);
  }

  /** What the step is fed, in the order of `run`'s values. */
  get fed(): EmittedStep['fed'] {
    return this.#emitted.fed;
  }

  /**
   * @param weights float32[totalSize], read in place
   * @param fed in the order of the trace
   * @param gradient float32[trainableSize] of zeros, written in place
   * @returns the wanted values
   */
  async run(
    { weights: specs }: Manifest,
    weights: Float32Array,
    fed: readonly FedValue[],
    gradient: Float32Array,
  ): Promise<TensorData[]> {
    const session = this.#session;
    const part = (flat: Float32Array, index: number) => {
      const { offset, size, shape } = specs[index];
      return session.tensor({ dtype: 'float32', shape, data: flat.subarray(offset, offset + size) });
    };
    const feeds: Record<string, ReturnType<OnnxSession['tensor']>> = {};
    for (const { index, name } of this.#emitted.weights) feeds[name] = part(weights, index);
    this.#emitted.fed.forEach(({ name, value }, i) => {
      invariant(sizeOf(fed[i].shape) === sizeOf(value.shape), 'a shard of other shapes');
      if (name !== null) feeds[name] = session.tensor(fed[i]);
    });
    const into: Record<string, ReturnType<OnnxSession['tensor']>> = {};
    this.#gradients.forEach((name, index) => {
      if (name !== null) into[name] = part(gradient, index);
    });
    return session.run(feeds, into, this.#wanted);
  }

  dispose(): Promise<void> {
    return this.#session.dispose();
  }
}
