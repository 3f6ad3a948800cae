import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import type {
  InferenceSession,
  InferenceSessionFactory,
  Tensor,
  TensorConstructor,
} from 'onnxruntime-common';
import { LockstepError, messageOf } from '../../../../shared/errors.js';
import type { TensorData } from '../../../../shared/tensors.js';
import type { FedValue } from '../../fed.js';
import { type Provider, runtimePackage } from './runtime-package.js';

/** What is used of onnxruntime-node; its own types are those of onnxruntime-common. */
interface Runtime {
  readonly InferenceSession: InferenceSessionFactory;
  readonly Tensor: TensorConstructor;
  /** Those of this platform. What is not bundled is found beside the others once it is installed. */
  readonly listSupportedBackends: () => readonly { readonly name: string; readonly bundled: boolean }[];
}

const require = createRequire(import.meta.url);
const { name: packageName, version: packageVersion } = runtimePackage;

let loaded: Runtime | null = null;

/**
 * ONNX Runtime, an optional dependency.
 * @param provider that is needed of it
 * @throws LockstepError BACKEND_UNAVAILABLE
 */
export function loadRuntime(provider: Provider = 'cpu'): Runtime {
  loaded ??= load();
  requireProvider(loaded, provider);
  return loaded;
}

function load(): Runtime {
  const hint = `Run: ONNXRUNTIME_NODE_INSTALL=skip npm install ${packageName}@${packageVersion}`;
  let installed: string;
  try {
    installed = (require(`${packageName}/package.json`) as { version: string }).version;
  } catch (cause) {
    throw new LockstepError('BACKEND_UNAVAILABLE', `${packageName} is not installed`, { hint, cause });
  }
  if (installed !== packageVersion) {
    const what = `${packageName} is ${installed}, expected ${packageVersion}`;
    throw new LockstepError('BACKEND_UNAVAILABLE', what, { hint });
  }
  try {
    return require(packageName) as Runtime;
  } catch (cause) {
    const reason = messageOf(cause).split('\n')[0];
    throw new LockstepError('BACKEND_UNAVAILABLE', `${packageName} cannot be loaded: ${reason}`, {
      hint,
      cause,
    });
  }
}

/** A provider that is missing is left out of a session without an error: it must be asked for before. */
function requireProvider(runtime: Runtime, provider: Provider): void {
  const found = runtime.listSupportedBackends().find(({ name }) => name === provider);
  if (found === undefined) {
    const where = `${process.platform}-${process.arch}`;
    throw new LockstepError('BACKEND_UNAVAILABLE', `${packageName} has no ${provider} for ${where}`, {
      hint: 'Choose another backend with --backend, or leave the choice to auto.',
    });
  }
  if (found.bundled) return;
  const folder = join(dirname(require.resolve(`${packageName}/package.json`)), 'bin', 'napi-v6');
  const library = `libonnxruntime_providers_${provider}.so`;
  if (existsSync(join(folder, process.platform, process.arch, library))) return;
  throw new LockstepError('BACKEND_UNAVAILABLE', `${packageName} is installed without ${library}`, {
    hint: `Run: ONNXRUNTIME_NODE_INSTALL=cuda12 npm rebuild ${packageName} (fetches it from NuGet; needs CUDA 12 and cuDNN 9).`,
  });
}

/** How graphs are run. @param threads they decide how sums are split, and so their bits */
export function sessionOptions(threads: number, provider: Provider = 'cpu'): InferenceSession.SessionOptions {
  return {
    // What a GPU's provider has no kernel for is computed by the processor's.
    executionProviders: provider === 'cpu' ? ['cpu'] : [provider, 'cpu'],
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

  static async create(model: Uint8Array, threads: number, provider: Provider = 'cpu'): Promise<OnnxSession> {
    const runtime = loadRuntime(provider);
    const session = await runtime.InferenceSession.create(model, sessionOptions(threads, provider));
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
