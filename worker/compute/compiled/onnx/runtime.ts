import { createRequire } from 'node:module';
import type {
  InferenceSession,
  InferenceSessionFactory,
  Tensor,
  TensorConstructor,
} from 'onnxruntime-common';
import { LockstepError, messageOf } from '../../../../shared/errors.js';
import type { TensorData } from '../../../../shared/tensors.js';
import type { FedValue } from '../../fed.js';
import { runtimePackage } from './runtime-package.js';

/** What is used of onnxruntime-node; its own types are those of onnxruntime-common. */
interface Runtime {
  readonly InferenceSession: InferenceSessionFactory;
  readonly Tensor: TensorConstructor;
}

const require = createRequire(import.meta.url);

let loaded: Runtime | null = null;

/**
 * ONNX Runtime, an optional dependency.
 * @throws LockstepError BACKEND_UNAVAILABLE
 */
export function loadRuntime(): Runtime {
  if (loaded !== null) return loaded;
  const { name, version } = runtimePackage;
  const hint = `Run: ONNXRUNTIME_NODE_INSTALL=skip npm install ${name}@${version}`;
  let installed: string;
  try {
    installed = (require(`${name}/package.json`) as { version: string }).version;
  } catch (cause) {
    throw new LockstepError('BACKEND_UNAVAILABLE', `${name} is not installed`, { hint, cause });
  }
  if (installed !== version) {
    throw new LockstepError('BACKEND_UNAVAILABLE', `${name} is ${installed}, expected ${version}`, { hint });
  }
  try {
    loaded = require(name) as Runtime;
    return loaded;
  } catch (cause) {
    const reason = messageOf(cause).split('\n')[0];
    throw new LockstepError('BACKEND_UNAVAILABLE', `${name} cannot be loaded: ${reason}`, { hint, cause });
  }
}

/** How graphs are run. @param threads they decide how sums are split, and so their bits */
export function sessionOptions(threads: number): InferenceSession.SessionOptions {
  return {
    executionProviders: ['cpu'],
    executionMode: 'sequential',
    graphOptimizationLevel: 'all',
    intraOpNumThreads: threads,
    interOpNumThreads: 1,
    // Warnings are about initialisers that a graph does not use, and the like: nothing a user could mend.
    logSeverityLevel: 3,
    extra: { session: { use_deterministic_compute: '1' } },
  };
}

/** A graph that ONNX Runtime has loaded. */
export class OnnxSession {
  readonly #runtime: Runtime;
  readonly #session: InferenceSession;

  private constructor(runtime: Runtime, session: InferenceSession) {
    this.#runtime = runtime;
    this.#session = session;
  }

  static async create(model: Uint8Array, threads: number): Promise<OnnxSession> {
    const runtime = loadRuntime();
    const session = await runtime.InferenceSession.create(model, sessionOptions(threads));
    return new OnnxSession(runtime, session);
  }

  /** A tensor over the value's own memory, unless its type is another than the data's. */
  tensor({ dtype, shape, data }: FedValue): Tensor {
    const { Tensor: OnnxTensor } = this.#runtime;
    switch (dtype) {
      case 'float32':
        return new OnnxTensor(dtype, data instanceof Float32Array ? data : Float32Array.from(data), shape);
      case 'int32':
        return new OnnxTensor(dtype, data instanceof Int32Array ? data : Int32Array.from(data), shape);
      case 'bool':
        return new OnnxTensor(
          dtype,
          Uint8Array.from(data, (value) => Number(value !== 0)),
          shape,
        );
    }
  }

  /**
   * Runs the graph.
   * @param into outputs that are written into the memory given, instead of new memory
   * @returns the other outputs that `names` lists, in its order
   */
  async run(
    feeds: Readonly<Record<string, Tensor>>,
    into: Readonly<Record<string, Tensor>>,
    names: readonly string[],
  ): Promise<TensorData[]> {
    const fetches: Record<string, Tensor | null> = { ...into };
    for (const name of names) fetches[name] = null;
    const results = await this.#session.run(feeds, fetches);
    return names.map((name) => results[name].data as TensorData);
  }

  async dispose(): Promise<void> {
    await this.#session.release();
  }
}
