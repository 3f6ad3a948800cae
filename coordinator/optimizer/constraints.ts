import type * as tf from '@tensorflow/tfjs';
import { LockstepError } from '../../shared/errors.js';
import { manifestOf } from '../../shared/manifest.js';
import { sizeOf } from '../../shared/tensors.js';

/** What a weight must satisfy after every optimizer step. */
export interface WeightConstraint {
  /** Index into the manifest's `weights`. */
  readonly weightIndex: number;
  /** Projects a weight of this shape in place. */
  apply(values: Float32Array, shape: readonly number[]): void;
}

/** Keras's `epsilon()`. */
const epsilon = 1e-7;

/**
 * The constraints of a model's weights that train, with Keras's formulas (keras/src/constraints/constraints.py): norms
 * in float64, then one rounding per element.
 * @throws LockstepError MODEL_UNSUPPORTED on a constraint class of the user's own
 */
export function constraintsOf(model: tf.LayersModel): WeightConstraint[] {
  const { weights } = manifestOf(model);
  return model.weights.flatMap(({ constraint }, weightIndex) => {
    if (!constraint || !weights[weightIndex].trainable) return [];
    const apply = projectionOf(constraint.getClassName(), constraint.getConfig());
    if (apply !== null) return [{ weightIndex, apply }];
    throw new LockstepError(
      'MODEL_UNSUPPORTED',
      `weight ${weights[weightIndex].name} has the constraint ${constraint.getClassName()}`,
      { hint: 'Use maxNorm, minMaxNorm, nonNeg or unitNorm.' },
    );
  });
}

type Projection = WeightConstraint['apply'];

function projectionOf(className: string, config: tf.serialization.ConfigDict): Projection | null {
  const { axis } = config as { axis?: number | number[] };
  const axes = Array.isArray(axis) ? axis : [axis ?? 0];
  const number = (name: string, otherwise: number): number => Number(config[name] ?? otherwise);
  switch (className) {
    case 'NonNeg':
      return (values) => {
        for (let i = 0; i < values.length; i++) if (values[i] < 0) values[i] = 0;
      };
    case 'UnitNorm':
      return (values, shape) => scaleNorms(values, shape, axes, () => 1);
    case 'MaxNorm': {
      const most = number('maxValue', 2);
      return (values, shape) => scaleNorms(values, shape, axes, (norm) => Math.min(norm, most));
    }
    case 'MinMaxNorm': {
      const least = number('minValue', 0);
      const most = number('maxValue', 1);
      const rate = number('rate', 1);
      return (values, shape) =>
        scaleNorms(
          values,
          shape,
          axes,
          (norm) => rate * Math.min(Math.max(norm, least), most) + (1 - rate) * norm,
        );
    }
    default:
      return null;
  }
}

/** Scales the vectors along `axes` to the L2 norm that `desired` gives for their present one. */
function scaleNorms(
  values: Float32Array,
  shape: readonly number[],
  axes: readonly number[],
  desired: (norm: number) => number,
): void {
  const groups = groupsOf(shape, axes);
  const squares = new Float64Array(groups.count);
  for (let i = 0; i < values.length; i++) squares[groups.of(i)] += values[i] ** 2;
  const factors = squares.map((square) => {
    const norm = Math.sqrt(square);
    return desired(norm) / (epsilon + norm);
  });
  for (let i = 0; i < values.length; i++) values[i] *= factors[groups.of(i)];
}

/** Numbers the vectors along `axes`: `of(element)` is the number of the vector that the element belongs to. */
function groupsOf(
  shape: readonly number[],
  axes: readonly number[],
): { count: number; of(element: number): number } {
  const along = new Set(axes.map((axis) => (axis < 0 ? axis + shape.length : axis)));
  const others: { stride: number; dim: number }[] = [];
  shape.forEach((dim, axis) => {
    if (!along.has(axis)) others.push({ stride: sizeOf(shape.slice(axis + 1)), dim });
  });
  return {
    count: sizeOf(others.map(({ dim }) => dim)),
    of: (element) => {
      let group = 0;
      for (const { stride, dim } of others) group = group * dim + (Math.floor(element / stride) % dim);
      return group;
    },
  };
}
