import { assertNever } from '../../../shared/errors.js';
import type { ShardTask } from '../../../shared/program.js';
import { deriveSeed, Random } from '../../../shared/random.js';
import type { HostTensor } from '../../../shared/tensors.js';
import type { FedSource, FedValue } from '../fed.js';
import { Labels } from '../labels.js';
import { maskValue, noiseValue } from '../layers/random-values.js';
import { inputValues } from '../model-inputs.js';
import type { ShardStep } from '../shard-step.js';
import { lossShare, weightsFor } from '../weighting.js';

interface Fed {
  readonly source: FedSource;
  readonly shape: readonly number[];
}

/**
 * What a shard feeds to its graph: the same numbers, drawn and checked in the same order, as the step op by op.
 * @param predictionShapes per output
 * @throws LockstepError SHAPE_MISMATCH, LABEL_OUT_OF_RANGE
 */
export function shardFeeds(
  { spec, model }: ShardStep,
  task: ShardTask,
  fed: readonly Fed[],
  predictionShapes: readonly (readonly number[])[],
): FedValue[] {
  const { x, y, sampleWeights } = task.data;
  const inputs = inputValues(model, x);
  const random = new Random(deriveSeed(spec.seed, 'shard', task.step, task.shard));
  return fed.map(({ source, shape }): FedValue => {
    switch (source.kind) {
      case 'x':
        return inputs[source.input];
      case 'labels': {
        const { output: index, form } = source;
        const { name } = spec.outputs[index];
        return new Labels(y[index], predictionShapes[index], { index, name }).valueOf(form);
      }
      case 'sampleWeights': {
        const weights = sampleWeights[source.output] as HostTensor;
        // The graph's own shape: the losses' where weights have an axis, and 1 elsewhere.
        const losses = shape.map((dim, axis) => weights.shape[axis] ?? dim);
        return weightsFor(weights, losses, spec.outputs[source.output].name);
      }
      case 'share':
        return lossShare(spec.outputs[source.output].lossWeight, task.batchRows, source.elementsPerRow);
      case 'mask':
        return maskValue(source, random.next);
      case 'noise':
        return noiseValue(source, random.next);
      default:
        return assertNever(source);
    }
  });
}

/** The same for a prediction, which is fed nothing but the inputs. */
export function predictionFeeds(
  { model }: ShardStep,
  x: readonly HostTensor[],
  fed: readonly Fed[],
): FedValue[] {
  const inputs = inputValues(model, x);
  return fed.map(({ source }) => {
    if (source.kind !== 'x') throw new TypeError(`a prediction is fed ${source.kind}`);
    return inputs[source.input];
  });
}
