import type * as tf from '@tensorflow/tfjs';
import type { ProgramSpec, ShardTask } from '../shared/program.js';
import { Random } from '../shared/random.js';
import { mnistCnn, mnistMlp } from './models.js';

export type MnistModel = 'cnn' | 'mlp';

/** What a worker is told of the model. */
export function mnistSpec(name: MnistModel): ProgramSpec {
  return logitsSpec(name === 'mlp' ? mnistMlp() : mnistCnn());
}

/** The same of any model that ends in logits of classes; disposes it. */
export function logitsSpec(model: tf.LayersModel): ProgramSpec {
  const topology = model.toJSON(null, false) as ProgramSpec['topology'];
  model.dispose();
  const params = { fromLogits: true };
  const loss = { kind: 'builtin', name: 'sparseCategoricalCrossentropy', params } as const;
  return {
    topology,
    frozenLayers: [],
    outputs: [{ name: 'output', loss, lossWeight: 1 }],
    metrics: [],
    seed: 1,
  };
}

export function mnistWeights(size: number): Float32Array {
  const random = new Random(1);
  return Float32Array.from({ length: size }, () => 0.05 * random.normal());
}

/** A shard that is the whole batch, of random pixels and labels. */
export function mnistShard(batchRows: number): ShardTask {
  return imageShard(batchRows, [28, 28, 1]);
}

/** The same of images of another shape. */
export function imageShard(batchRows: number, shape: readonly number[]): ShardTask {
  const random = new Random(2);
  const size = batchRows * shape.reduce((product, dim) => product * dim, 1);
  const pixels = Float32Array.from({ length: size }, random.next);
  const labels = Int32Array.from({ length: batchRows }, () => random.below(10));
  const data: ShardTask['data'] = {
    x: [{ dtype: 'float32', shape: [batchRows, ...shape], data: pixels }],
    y: [{ dtype: 'int32', shape: [batchRows], data: labels }],
    sampleWeights: [null],
  };
  return { step: 0, shard: 0, batchRows, data };
}
