import type { UpdateRule } from './rule.js';

export interface AdadeltaParams {
  readonly rho: number;
  readonly epsilon: number;
}

/** Zeiler 2012, with a learning rate as in Keras. */
export function adadeltaRule({ rho, epsilon }: AdadeltaParams): UpdateRule {
  const fresh = 1 - rho;
  return {
    slots: { accumulatedGrad: 0, accumulatedDeltaVar: 0 },
    update({ weights, gradient, next, slots, learningRate, shrink }) {
      const gradientSquares = slots.accumulatedGrad;
      const deltaSquares = slots.accumulatedDeltaVar;
      for (let i = 0; i < next.length; i++) {
        const g = gradient[i];
        const gradientSquare = rho * gradientSquares[i] + fresh * g * g;
        const delta = (Math.sqrt(deltaSquares[i] + epsilon) * g) / Math.sqrt(gradientSquare + epsilon);
        gradientSquares[i] = gradientSquare;
        deltaSquares[i] = rho * deltaSquares[i] + fresh * delta * delta;
        next[i] = weights[i] * shrink - learningRate * delta;
      }
    },
  };
}
