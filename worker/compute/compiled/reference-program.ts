import * as tf from '@tensorflow/tfjs';
import { LockstepError } from '../../../shared/errors.js';
import type { ShardProgram } from '../../../shared/program.js';
import { EagerProgram } from '../eager-program.js';
import type { ShardStep } from '../shard-step.js';

/**
 * The program op by op that compiled results are compared with, on the present TensorFlow.js backend. Where that lacks
 * a kernel, or fails, the `cpu` backend takes its place, which has all of them and is slow.
 */
export class ReferenceProgram {
  readonly #program: EagerProgram;

  constructor(step: ShardStep) {
    this.#program = new EagerProgram(step);
  }

  /** @param weights float32[totalSize] */
  async with<T>(weights: Float32Array, compute: (program: ShardProgram) => Promise<T>): Promise<T> {
    const run = (): Promise<T> => {
      this.#program.setWeights(weights);
      return compute(this.#program);
    };
    try {
      return await run();
    } catch (error) {
      if (error instanceof LockstepError || tf.getBackend() === 'cpu') throw error;
      await tf.setBackend('cpu');
      return run();
    }
  }
}
