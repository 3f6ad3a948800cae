import type { UpdateRule } from './rule.js';

export interface AdagradParams {
  readonly initialAccumulatorValue: number;
  readonly epsilon: number;
}

/** Duchi et al. 2011; as in Keras, epsilon stands under the root. */
export function adagradRule({ initialAccumulatorValue, epsilon }: AdagradParams): UpdateRule {
  return {
    slots: { accumulator: initialAccumulatorValue },
    update({ weights, gradient, next, slots, learningRate, shrink }) {
      const accumulators = slots.accumulator;
      for (let i = 0; i < next.length; i++) {
        const g = gradient[i];
        const accumulator = accumulators[i] + g * g;
        accumulators[i] = accumulator;
        next[i] = weights[i] * shrink - (learningRate * g) / Math.sqrt(accumulator + epsilon);
      }
    },
  };
}
