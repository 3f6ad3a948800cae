import { subtractScaled } from '../../../shared/float32.js';
import type { UpdateRule, VariableUpdate } from './rule.js';

export interface SgdParams {
  readonly momentum: number;
  readonly nesterov: boolean;
}

/** Gradient descent, with momentum or Nesterov's momentum as Keras defines them: the rate enters the velocity. */
export function sgdRule({ momentum, nesterov }: SgdParams): UpdateRule {
  if (momentum === 0) return { slots: {}, update: descend };
  const update = nesterov ? descendNesterov : descendMomentum;
  return { slots: { momentum: 0 }, update: (variable) => update(variable, momentum) };
}

function descend({ weights, gradient, next, learningRate, shrink }: VariableUpdate): void {
  subtractScaled(next, [weights, shrink], [gradient, learningRate]);
}

function descendMomentum(variable: VariableUpdate, momentum: number): void {
  const { weights, gradient, next, learningRate, shrink } = variable;
  const velocities = variable.slots.momentum;
  for (let i = 0; i < next.length; i++) {
    const velocity = momentum * velocities[i] - learningRate * gradient[i];
    velocities[i] = velocity;
    next[i] = weights[i] * shrink + velocity;
  }
}

function descendNesterov(variable: VariableUpdate, momentum: number): void {
  const { weights, gradient, next, learningRate, shrink } = variable;
  const velocities = variable.slots.momentum;
  for (let i = 0; i < next.length; i++) {
    const descent = learningRate * gradient[i];
    const velocity = momentum * velocities[i] - descent;
    velocities[i] = velocity;
    next[i] = weights[i] * shrink + momentum * velocity - descent;
  }
}
