import type { UpdateRule, VariableUpdate } from './rule.js';

export interface RmspropParams {
  readonly rho: number;
  readonly momentum: number;
  readonly epsilon: number;
  readonly centered: boolean;
}

/** Hinton 2012, lecture 6; as in Keras, epsilon stands under the root and momentum is the plain one. */
export function rmspropRule(params: RmspropParams): UpdateRule {
  return {
    slots: {
      velocity: 0,
      ...(params.momentum > 0 && { momentum: 0 }),
      ...(params.centered && { averageGradient: 0 }),
    },
    update(variable) {
      if (params.centered) scaleByDeviation(variable, params);
      else scaleByRootMeanSquare(variable, params);
    },
  };
}

function scaleByRootMeanSquare(variable: VariableUpdate, { rho, momentum, epsilon }: RmspropParams): void {
  const { weights, gradient, next, slots, learningRate, shrink } = variable;
  const squares = slots.velocity;
  const momenta = momentum > 0 ? slots.momentum : null;
  const fresh = 1 - rho;
  for (let i = 0; i < next.length; i++) {
    const g = gradient[i];
    const square = rho * squares[i] + fresh * g * g;
    squares[i] = square;
    let increment = (learningRate * g) / Math.sqrt(square + epsilon);
    if (momenta !== null) {
      increment += momentum * momenta[i];
      momenta[i] = increment;
    }
    next[i] = weights[i] * shrink - increment;
  }
}

function scaleByDeviation(variable: VariableUpdate, { rho, momentum, epsilon }: RmspropParams): void {
  const { weights, gradient, next, slots, learningRate, shrink } = variable;
  const squares = slots.velocity;
  const means = slots.averageGradient;
  const momenta = momentum > 0 ? slots.momentum : null;
  const fresh = 1 - rho;
  for (let i = 0; i < next.length; i++) {
    const g = gradient[i];
    const square = rho * squares[i] + fresh * g * g;
    const mean = rho * means[i] + fresh * g;
    squares[i] = square;
    means[i] = mean;
    // The variance is never negative but for the slots' rounding, which under a steady gradient would end in NaN.
    const variance = Math.max(square - mean * mean, 0);
    let increment = (learningRate * g) / Math.sqrt(variance + epsilon);
    if (momenta !== null) {
      increment += momentum * momenta[i];
      momenta[i] = increment;
    }
    next[i] = weights[i] * shrink - increment;
  }
}
