import type { ProgramSpec, ShardTask } from '../shared/program.js';
import { Random } from '../shared/random.js';
import { mnistCnn, mnistMlp } from './models.js';

export type MnistModel = 'cnn' | 'mlp';

/** What a worker is told of the model. */
export function mnistSpec(name: MnistModel): ProgramSpec {
  const model = name === 'mlp' ? mnistMlp() : mnistCnn();
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
  const random = new Random(2);
  const pixels = Float32Array.from({ length: batchRows * 784 }, random.next);
  const labels = Int32Array.from({ length: batchRows }, () => random.below(10));
  const data: ShardTask['data'] = {
    x: [{ dtype: 'float32', shape: [batchRows, 28, 28, 1], data: pixels }],
    y: [{ dtype: 'int32', shape: [batchRows], data: labels }],
    sampleWeights: [null],
  };
  return { step: 0, shard: 0, batchRows, data };
}
