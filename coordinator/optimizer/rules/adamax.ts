import { power } from '../portable-math.js';
import type { UpdateRule } from './rule.js';

export interface AdamaxParams {
  readonly beta1: number;
  readonly beta2: number;
  readonly epsilon: number;
}

/** Kingma & Ba 2014, section 7.1; as in Keras, epsilon is added to the norm. */
export function adamaxRule({ beta1, beta2, epsilon }: AdamaxParams): UpdateRule {
  const fresh = 1 - beta1;
  return {
    slots: { momentum: 0, norm: 0 },
    update({ weights, gradient, next, slots, learningRate, iteration, shrink }) {
      const momenta = slots.momentum;
      const norms = slots.norm;
      const rate = learningRate / (1 - power(beta1, iteration + 1));
      for (let i = 0; i < next.length; i++) {
        const g = gradient[i];
        let m = momenta[i];
        m += (g - m) * fresh;
        const norm = Math.max(beta2 * norms[i], Math.abs(g));
        momenta[i] = m;
        norms[i] = norm;
        next[i] = weights[i] * shrink - (rate * m) / (norm + epsilon);
      }
    },
  };
}
