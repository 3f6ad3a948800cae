import type * as tf from '@tensorflow/tfjs';
import { Cluster } from 'lockstep';
import { compileOptions } from './compile-options.js';
import { buildCnn, type DigitsCnn } from './digits-cnn.js';
import { type TimedSteps, timedSteps } from './timed-steps.js';

/** A cluster of local workers with one compute thread each that trains the CNN a few steps at a time. */
export class Distributed {
  readonly #cluster: Cluster;
  readonly #model: tf.LayersModel;
  readonly #cnn: DigitsCnn;
  readonly #shards: number;

  private constructor(cluster: Cluster, model: tf.LayersModel, cnn: DigitsCnn, shards: number) {
    this.#cluster = cluster;
    this.#model = model;
    this.#cnn = cnn;
    this.#shards = shards;
  }

  static async start(
    { backend, workers }: { backend: 'tensorflow' | 'wasm'; workers: number },
    cnn: DigitsCnn,
  ): Promise<Distributed> {
    const cluster = await Cluster.local({ backend, workers });
    const model = await buildCnn();
    model.compile(compileOptions);
    return new Distributed(cluster, model, cnn, workers);
  }

  /** Takes one step, then so many more, and gives the milliseconds between the ends of those. */
  run(steps: number, options: Pick<TimedSteps, 'checkpoint' | 'recordShards'> = {}): Promise<number[]> {
    const { images, labels, rows, batchSize } = this.#cnn;
    const data = { x: { dtype: 'uint8' as const, shape: [rows, 28, 28, 1], data: images }, y: labels };
    return timedSteps(this.#cluster, this.#model, data, {
      ...options,
      batchSize,
      shards: this.#shards,
      steps,
    });
  }

  close(): Promise<void> {
    return this.#cluster.close();
  }
}
