import type * as tf from '@tensorflow/tfjs';
import { LockstepError } from '../../shared/errors.js';
import type { HostTensor } from '../../shared/tensors.js';
import type { ModelShape, RowShape } from '../model-shape.js';
import type { FedValue } from './fed.js';

/** The shapes of a row of each input and output. */
export function rowShapesOf({ inputs, outputs }: tf.LayersModel): Pick<ModelShape, 'inputs' | 'outputs'> {
  const ofRow = ({ shape }: tf.SymbolicTensor): RowShape => shape.slice(1);
  return { inputs: inputs.map(ofRow), outputs: outputs.map(ofRow) };
}

/**
 * A shard's inputs as tensors of the dtypes that the model declares (images travel as uint8).
 * @throws LockstepError SHAPE_MISMATCH
 */
export function inputValues(model: tf.LayersModel, x: readonly HostTensor[]): FedValue[] {
  if (x.length !== model.inputs.length) {
    throw new LockstepError(
      'SHAPE_MISMATCH',
      `the model has ${model.inputs.length} inputs, got ${x.length}`,
      {
        hint: 'Give one array per input, in the order of model.inputs.',
      },
    );
  }
  model.inputs.forEach(({ shape, name }, index) => {
    const got = x[index].shape;
    const fits = got.length === shape.length && shape.every((dim, axis) => dim === null || dim === got[axis]);
    if (fits) return;
    throw new LockstepError(
      'SHAPE_MISMATCH',
      `input ${name} got rows of shape [${got.slice(1).join(', ')}], expected [${shape.slice(1).join(', ')}]`,
      { hint: "Reshape the data, or set the model's inputShape." },
    );
  });
  return model.inputs.map(({ dtype }, index) => {
    const { data, shape } = x[index];
    return { dtype: dtype === 'int32' || dtype === 'bool' ? dtype : 'float32', shape, data };
  });
}
