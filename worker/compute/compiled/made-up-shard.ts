import type * as tf from '@tensorflow/tfjs';
import type { Manifest } from '../../../shared/manifest.js';
import type { ProgramSpec, ShardTask } from '../../../shared/program.js';
import { deriveSeed, Random } from '../../../shared/random.js';
import type { HostTensor } from '../../../shared/tensors.js';
import { canaryData, canaryWeights } from '../canary.js';
import { comparedRows } from './comparison.js';

/**
 * Weights for a trial, float32[totalSize]. Those of matrices and filters are of either sign, about (1/n) in variance
 * for n inputs of a unit, so that both sides of an activation are met; vectors are positive, as variances must be.
 */
export function trialWeights(manifest: Manifest): Float32Array {
  const flat = canaryWeights(manifest);
  manifest.weights.forEach(({ offset, size, shape }, index) => {
    if (shape.length < 2) return;
    const random = new Random(deriveSeed(0, 'canary', 3, index));
    const scale = Math.sqrt(3 / (size / shape[shape.length - 1]));
    for (let i = offset; i < offset + size; i++) flat[i] = scale * (2 * random.next() - 1);
  });
  return flat;
}

/** The shard of a trial: the canary's, with tokens for what an embedding looks up. Shard 0 of step 0. */
export function trialTask(model: tf.LayersModel, spec: Pick<ProgramSpec, 'outputs'>): ShardTask {
  const data = canaryData(model, spec, comparedRows);
  const x = data.x.map((tensor, index) => {
    const words = vocabularyOf(model, index);
    return words === null ? tensor : tokens(tensor, words);
  });
  return { step: 0, shard: 0, batchRows: comparedRows, data: { ...data, x } };
}

/** How many words the embedding knows that looks up an input; null if none does. */
function vocabularyOf(model: tf.LayersModel, input: number): number | null {
  const embedding = model.layers.find(
    (layer) =>
      layer.getClassName() === 'Embedding' &&
      layer.inboundNodes.some(({ inputTensors }) => inputTensors.includes(model.inputs[input])),
  );
  const words = embedding?.getConfig().inputDim;
  return typeof words === 'number' ? words : null;
}

function tokens({ shape, data }: HostTensor, words: number): HostTensor {
  return { dtype: 'float32', shape, data: Float32Array.from(data, (value) => Math.floor(value * words)) };
}
