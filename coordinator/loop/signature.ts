import type * as tf from '@tensorflow/tfjs';
import { isSparseLoss } from '../../shared/losses.js';
import type { ProgramSpec } from '../../shared/program.js';
import type { BatchSignature } from '../data/check.js';

/** The shapes that batches of a model have: the row axis is null. */
export function signatureOf(
  model: tf.LayersModel,
  { outputs }: Pick<ProgramSpec, 'outputs'>,
): BatchSignature {
  return {
    inputs: model.inputs.map(({ shape }, index) => ({ name: model.inputNames[index], shape })),
    outputs: model.outputs.map(({ shape }, index) => ({
      name: model.outputNames[index],
      shape,
      sparseClasses: isSparseLoss(outputs[index].loss) ? (shape.at(-1) ?? null) : null,
    })),
  };
}
