import { invariant, LockstepError, messageOf } from '../../../shared/errors.js';
import type { Manifest } from '../../../shared/manifest.js';
import { sizeOf, type TensorData } from '../../../shared/tensors.js';
import type { FedValue } from '../fed.js';
import { OnnxSession } from './onnx/runtime.js';
import type { Provider } from './onnx/runtime-package.js';
import { CompileRefusal } from './refusal.js';
import type { WrittenStep } from './write-step.js';

/** What a step's session is made with, besides its graph. */
export interface SessionSettings {
  readonly threads: number;
  readonly provider: Provider;
}

/** A step of one set of shapes, ready to run. */
export class CompiledStep {
  readonly #inputs: Pick<WrittenStep, 'weights' | 'fed'>;
  readonly #gradients: WrittenStep['gradients'];
  readonly #session: OnnxSession;

  private constructor({ weights, fed, gradients }: WrittenStep, session: OnnxSession) {
    this.#inputs = { weights, fed };
    this.#gradients = gradients;
    this.#session = session;
  }

  /** @throws CompileRefusal */
  static async create(written: WrittenStep, { threads, provider }: SessionSettings): Promise<CompiledStep> {
    const session = await OnnxSession.create(written.model, threads, provider).catch((error: unknown) => {
      if (error instanceof LockstepError) throw error;
      throw new CompileRefusal(`ONNX Runtime refuses the step: ${messageOf(error).split('\n')[0]}`, {});
    });
    return new CompiledStep(written, session);
  }

  /** What the step is fed, in the order of `run`'s values. */
  get fed(): WrittenStep['fed'] {
    return this.#inputs.fed;
  }

  /**
   * @param weights float32[totalSize], read in place
   * @param fed in the order of the trace
   * @param gradient float32[trainableSize] of zeros, written in place
   * @param wanted the names of what is read
   * @returns the wanted values
   */
  async run(
    { weights: specs }: Manifest,
    weights: Float32Array,
    fed: readonly FedValue[],
    gradient: Float32Array,
    wanted: readonly string[],
  ): Promise<TensorData[]> {
    const session = this.#session;
    const part = (flat: Float32Array, index: number) => {
      const { offset, size, shape } = specs[index];
      return session.tensor({ dtype: 'float32', shape, data: flat.subarray(offset, offset + size) });
    };
    const feeds: Record<string, ReturnType<OnnxSession['tensor']>> = {};
    for (const { index, name } of this.#inputs.weights) feeds[name] = part(weights, index);
    this.#inputs.fed.forEach(({ name, shape }, i) => {
      invariant(sizeOf(fed[i].shape) === sizeOf(shape), 'a shard of other shapes');
      if (name !== null) feeds[name] = session.tensor(fed[i]);
    });
    const into: Record<string, ReturnType<OnnxSession['tensor']>> = {};
    this.#gradients.forEach((name, index) => {
      if (name !== null) into[name] = part(gradient, index);
    });
    return session.run(feeds, into, wanted);
  }

  dispose(): Promise<void> {
    return this.#session.dispose();
  }
}
