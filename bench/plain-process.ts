import { type ChildProcess, fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { backendEnvironment } from '../worker/backend/environment.js';
import { ask } from './ask.js';
import type { DigitsCnn } from './digits-cnn.js';

export interface PlainConfig {
  readonly backend: 'tensorflow' | 'wasm';
  /** Compute threads; null: as many as the library takes by itself. */
  readonly threads: number | null;
  /** `stock`: as installed. `ours`: with the kernels that Lockstep's workers register; wasm cannot train without. */
  readonly kernels: 'stock' | 'ours';
}

/** What the process is told: first what to train, then how many steps of which kind to take. */
export type ToPlain = (PlainConfig & { readonly cnn: DigitsCnn }) | PlainOrder;
export interface PlainOrder {
  readonly method: 'trainOnBatch' | 'fit';
  /** Steps to time; one more is taken before them, untimed. */
  readonly steps: number;
}

/** Plain TensorFlow.js in a process of its own, so that the two sides share neither threads nor a heap. */
export class PlainProcess {
  readonly #child: ChildProcess;

  private constructor(child: ChildProcess) {
    this.#child = child;
  }

  static async start(config: PlainConfig, cnn: DigitsCnn): Promise<PlainProcess> {
    const entry = fileURLToPath(new URL('plain-training.ts', import.meta.url));
    const { threads } = config;
    const quiet = { TF_CPP_MIN_LOG_LEVEL: '2' };
    const env = { ...process.env, ...(threads === null ? quiet : backendEnvironment(threads)) };
    const child = fork(entry, [], { env, serialization: 'advanced' });
    const plain = new PlainProcess(child);
    await ask(child, { ...config, cnn } satisfies ToPlain);
    return plain;
  }

  /** Takes one step, then so many more, and gives what each of those took, in milliseconds. */
  run(method: PlainOrder['method'], steps: number): Promise<number[]> {
    return ask(this.#child, { method, steps } satisfies ToPlain);
  }

  close(): void {
    this.#child.kill();
  }
}
