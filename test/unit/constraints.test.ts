import * as tf from '@tensorflow/tfjs';
import { beforeAll, describe, expect, it } from 'vitest';
import { constraintsOf } from '../../coordinator/optimizer/constraints.js';
import { largestDifference, normal } from './eager-fixture.js';

beforeAll(async () => {
  await tf.setBackend('cpu');
});

type KernelConstraint = Parameters<typeof tf.layers.conv2d>[0]['kernelConstraint'];

function conv(kernelConstraint: KernelConstraint, trainable = true): tf.LayersModel {
  return tf.sequential({
    layers: [
      tf.layers.conv2d({ filters: 4, kernelSize: 2, inputShape: [5, 5, 3], kernelConstraint, trainable }),
    ],
  });
}

const shape = [2, 2, 3, 4];

function projected(kernelConstraint: KernelConstraint): Float32Array {
  const constraints = constraintsOf(conv(kernelConstraint));
  const values = Float32Array.from(normal(shape, 3).data, (value) => 0.8 * value);
  expect(constraints.map(({ weightIndex }) => weightIndex)).toEqual([0]);
  constraints[0].apply(values, shape);
  return values;
}

type Constraint = ReturnType<typeof tf.constraints.maxNorm>;
type ConstraintClass = new (args: object) => Constraint;
const classOf = (constraint: Constraint) => constraint.constructor as ConstraintClass;

class RoundToGrid extends classOf(tf.constraints.nonNeg()) {
  static readonly className = 'RoundToGrid';

  override apply(w: tf.Tensor): tf.Tensor {
    return tf.round(w);
  }
}

describe('weight constraints', () => {
  // TensorFlow.js applies Keras's formulas in `Constraint.apply`, though its own fit never calls them.
  it.each([
    ['maxNorm', tf.constraints.maxNorm({ maxValue: 0.9, axis: 0 })],
    ['unitNorm', tf.constraints.unitNorm({ axis: 3 })],
    ['nonNeg', tf.constraints.nonNeg()],
    ['minMaxNorm', tf.constraints.minMaxNorm({ minValue: 0.7, maxValue: 1.1, rate: 0.6, axis: 2 })],
    ['minMaxNorm by default', tf.constraints.minMaxNorm({})],
  ])('%s is what the constraint class computes', (_, constraint) => {
    const w = tf.tensor(
      Float32Array.from(normal(shape, 3).data, (value) => 0.8 * value),
      shape,
    );
    expect(largestDifference(projected(constraint), constraint.apply(w).dataSync())).toBeLessThan(1e-6);
  });

  it('scales vectors that span several axes, such as the kernel of one filter', () => {
    const values = projected(new (classOf(tf.constraints.maxNorm({})))({ maxValue: 1, axis: [0, 1, 2] }));
    for (let filter = 0; filter < 4; filter++) {
      const norm = Math.hypot(...values.filter((_, i) => i % 4 === filter));
      expect(norm).toBeCloseTo(1, 5);
    }
  });

  it('does not touch frozen weights, and refuses classes it does not know', () => {
    expect(constraintsOf(conv(tf.constraints.nonNeg(), false))).toEqual([]);
    expect(constraintsOf(conv(undefined))).toEqual([]);
    expect(() => constraintsOf(conv(new RoundToGrid({})))).toThrow(
      expect.objectContaining({
        code: 'MODEL_UNSUPPORTED',
        message: expect.stringContaining('RoundToGrid'),
      }),
    );
  });
});
