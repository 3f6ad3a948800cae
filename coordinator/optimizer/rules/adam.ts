import { power } from '../portable-math.js';
import type { UpdateRule, VariableUpdate } from './rule.js';

export interface AdamParams {
  readonly beta1: number;
  readonly beta2: number;
  readonly epsilon: number;
  readonly amsgrad: boolean;
}

/**
 * Kingma & Ba 2014 in the form before section 2.1, as in Keras: the bias correction is in the rate, and
 * epsilon ("epsilon hat") stands outside the root of the uncorrected second moment. AMSGrad: Reddi et al. 2018.
 */
export function adamRule(params: AdamParams): UpdateRule {
  const { beta1, beta2, amsgrad } = params;
  const update = amsgrad ? descendAmsgrad : descend;
  return {
    slots: { momentum: 0, velocity: 0, ...(amsgrad && { velocityHat: 0 }) },
    update(variable) {
      const t = variable.iteration + 1;
      const rate = (variable.learningRate * Math.sqrt(1 - power(beta2, t))) / (1 - power(beta1, t));
      update(variable, params, rate);
    },
  };
}

function descend(variable: VariableUpdate, { beta1, beta2, epsilon }: AdamParams, rate: number): void {
  const { weights, gradient, next, shrink } = variable;
  const momenta = variable.slots.momentum;
  const velocities = variable.slots.velocity;
  const fresh1 = 1 - beta1;
  const fresh2 = 1 - beta2;
  for (let i = 0; i < next.length; i++) {
    const g = gradient[i];
    let m = momenta[i];
    let v = velocities[i];
    m += (g - m) * fresh1;
    v += (g * g - v) * fresh2;
    momenta[i] = m;
    velocities[i] = v;
    next[i] = weights[i] * shrink - (m * rate) / (Math.sqrt(v) + epsilon);
  }
}

function descendAmsgrad(variable: VariableUpdate, { beta1, beta2, epsilon }: AdamParams, rate: number): void {
  const { weights, gradient, next, shrink } = variable;
  const momenta = variable.slots.momentum;
  const velocities = variable.slots.velocity;
  const maxima = variable.slots.velocityHat;
  const fresh1 = 1 - beta1;
  const fresh2 = 1 - beta2;
  for (let i = 0; i < next.length; i++) {
    const g = gradient[i];
    let m = momenta[i];
    let v = velocities[i];
    m += (g - m) * fresh1;
    v += (g * g - v) * fresh2;
    momenta[i] = m;
    velocities[i] = v;
    const maximum = Math.max(maxima[i], v);
    maxima[i] = maximum;
    next[i] = weights[i] * shrink - (m * rate) / (Math.sqrt(maximum) + epsilon);
  }
}
