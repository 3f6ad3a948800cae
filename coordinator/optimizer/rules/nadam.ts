import { power } from '../portable-math.js';
import type { UpdateRule } from './rule.js';

export interface NadamParams {
  readonly beta1: number;
  readonly beta2: number;
  readonly epsilon: number;
}

/** Dozat 2015 with the momentum schedule that Keras uses: β₁·(1 - 0.96ᵗ / 2). */
export function nadamRule({ beta1, beta2, epsilon }: NadamParams): UpdateRule {
  const momentumAt = (t: number): number => beta1 * (1 - 0.5 * power(0.96, t));
  const productUpTo = momentumProduct(momentumAt);
  const fresh1 = 1 - beta1;
  const fresh2 = 1 - beta2;
  return {
    slots: { momentum: 0, velocity: 0 },
    update({ weights, gradient, next, slots, learningRate, iteration, shrink }) {
      const momenta = slots.momentum;
      const velocities = slots.velocity;
      const t = iteration + 1;
      const product = productUpTo(t);
      const momentumNext = momentumAt(t + 1);
      const momentumShare = momentumNext / (1 - product * momentumNext);
      const gradientShare = (1 - momentumAt(t)) / (1 - product);
      const debias = 1 / (1 - power(beta2, t));
      for (let i = 0; i < next.length; i++) {
        const g = gradient[i];
        let m = momenta[i];
        let v = velocities[i];
        m += (g - m) * fresh1;
        v += (g * g - v) * fresh2;
        momenta[i] = m;
        velocities[i] = v;
        const step = momentumShare * m + gradientShare * g;
        next[i] = weights[i] * shrink - (step * learningRate) / (Math.sqrt(v * debias) + epsilon);
      }
    },
  };
}

/**
 * The product of the momenta of steps 1…t (Keras's `_u_product`). It is a function of t alone, multiplied in
 * order whether it is continued or begun anew, so a resumed run needs no slot for it and gets the same bits.
 */
function momentumProduct(momentumAt: (t: number) => number): (t: number) => number {
  let known = 0;
  let product = 1;
  return (t) => {
    if (t < known) {
      known = 0;
      product = 1;
    }
    while (known < t) {
      known++;
      product *= momentumAt(known);
    }
    return product;
  };
}
