import type { Clipping, OptimizerConfig, Slots } from '../../coordinator/optimizer/optimizer.js';
import type { Manifest, WeightSpec } from '../../shared/manifest.js';
import type { Random } from '../../shared/random.js';

/** The manifest of a model with these weights, laid out as shared/manifest.ts defines it. */
export function manifestWith(
  weights: readonly { name: string; size: number; trainable?: boolean }[],
): Manifest {
  const specs: WeightSpec[] = [];
  let offset = 0;
  for (const group of [true, false]) {
    for (const { name, size, trainable = true } of weights) {
      if (trainable !== group) continue;
      specs.push({ name, shape: [size], size, trainable, offset });
      offset += size;
    }
  }
  specs.sort(
    (a, b) => weights.findIndex((w) => w.name === a.name) - weights.findIndex((w) => w.name === b.name),
  );
  return {
    weights: specs,
    trainableSize: specs.reduce((sum, spec) => sum + (spec.trainable ? spec.size : 0), 0),
    totalSize: offset,
    batchNorms: [],
    frozenLayers: [],
  };
}

export const normals = (random: Random, length: number, scale = 1): Float32Array =>
  Float32Array.from({ length }, () => random.normal() * scale);

/** One variable in the reference: float64 throughout. */
export interface ReferenceVariable {
  weight: number[];
  slots: Record<string, number[]>;
}

/** Clipping as Keras and TensorFlow define it, in float64, by the formulas of their documentation. */
export function referenceClip(gradients: readonly number[][], clipping: Clipping): number[][] {
  const norm = (values: readonly number[]) => Math.hypot(...values);
  const { clipValue, clipNorm, globalClipNorm } = clipping;
  if (clipValue !== undefined) {
    return gradients.map((g) => g.map((x) => Math.min(Math.max(x, -clipValue), clipValue)));
  }
  if (clipNorm !== undefined) {
    return gradients.map((g) => {
      const divisor = Math.max(norm(g), clipNorm);
      return g.map((x) => (x * clipNorm) / divisor);
    });
  }
  if (globalClipNorm !== undefined) {
    const scale = globalClipNorm * Math.min(1 / norm(gradients.map(norm)), 1 / globalClipNorm);
    return gradients.map((g) => g.map((x) => x * scale));
  }
  return gradients.map((g) => [...g]);
}

/** The slots that Keras's `build` makes for a variable of `size` elements. */
export function referenceSlots({ name, params }: OptimizerConfig, size: number): Record<string, number[]> {
  const filled = (value = 0) => new Array<number>(size).fill(value);
  switch (name) {
    case 'sgd':
      return Number(params.momentum) !== 0 ? { momentum: filled() } : {};
    case 'adagrad':
      return { accumulator: filled(Number(params.initialAccumulatorValue)) };
    case 'adadelta':
      return { accumulatedGrad: filled(), accumulatedDeltaVar: filled() };
    case 'rmsprop':
      return {
        velocity: filled(),
        ...(Number(params.momentum) > 0 && { momentum: filled() }),
        ...(params.centered && { averageGradient: filled() }),
      };
    case 'adamax':
      return { momentum: filled(), norm: filled() };
    default:
      return {
        momentum: filled(),
        velocity: filled(),
        ...(params.amsgrad && { velocityHat: filled() }),
      };
  }
}

/**
 * One update by Keras 3's formulas (keras/src/optimizers: `_clip_gradients`, `_apply_weight_decay`, then each
 * class's `update_step`), element by element in float64. `iterations` is Keras's, from 0.
 */
export function referenceStep(
  config: OptimizerConfig,
  variables: readonly ReferenceVariable[],
  gradients: readonly number[][],
  learningRate: number,
  iterations: number,
): void {
  const clipped = referenceClip(gradients, config);
  const p = config.params as Record<string, number>;
  const t = iterations + 1;
  variables.forEach(({ weight, slots }, n) => {
    for (let i = 0; i < weight.length; i++) {
      weight[i] -= weight[i] * config.weightDecay * learningRate;
      weight[i] += referenceDelta(config.name, p, slots, clipped[n][i], i, learningRate, t);
    }
  });
}

function referenceDelta(
  name: OptimizerConfig['name'],
  p: Record<string, number>,
  slots: Record<string, number[]>,
  g: number,
  i: number,
  lr: number,
  t: number,
): number {
  const blend = (slot: number[], keep: number, value: number): number => {
    slot[i] = keep * slot[i] + (1 - keep) * value;
    return slot[i];
  };
  switch (name) {
    case 'sgd': {
      if (p.momentum === 0) return -lr * g;
      slots.momentum[i] = p.momentum * slots.momentum[i] - lr * g;
      return p.nesterov ? p.momentum * slots.momentum[i] - lr * g : slots.momentum[i];
    }
    case 'adagrad': {
      slots.accumulator[i] += g ** 2;
      return (-lr * g) / Math.sqrt(slots.accumulator[i] + p.epsilon);
    }
    case 'adadelta': {
      const square = blend(slots.accumulatedGrad, p.rho, g ** 2);
      const delta =
        (-Math.sqrt(slots.accumulatedDeltaVar[i] + p.epsilon) * g) / Math.sqrt(square + p.epsilon);
      blend(slots.accumulatedDeltaVar, p.rho, delta ** 2);
      return lr * delta;
    }
    case 'rmsprop': {
      const square = blend(slots.velocity, p.rho, g ** 2);
      const mean = p.centered ? blend(slots.averageGradient, p.rho, g) : 0;
      const increment = (lr * g) / Math.sqrt(square - mean ** 2 + p.epsilon);
      if (p.momentum === 0) return -increment;
      slots.momentum[i] = p.momentum * slots.momentum[i] + increment;
      return -slots.momentum[i];
    }
    case 'adam':
    case 'adamw': {
      const alpha = (lr * Math.sqrt(1 - p.beta2 ** t)) / (1 - p.beta1 ** t);
      const m = blend(slots.momentum, p.beta1, g);
      let v = blend(slots.velocity, p.beta2, g ** 2);
      if (p.amsgrad) {
        slots.velocityHat[i] = Math.max(slots.velocityHat[i], v);
        v = slots.velocityHat[i];
      }
      return (-m * alpha) / (Math.sqrt(v) + p.epsilon);
    }
    case 'adamax': {
      const m = blend(slots.momentum, p.beta1, g);
      slots.norm[i] = Math.max(p.beta2 * slots.norm[i], Math.abs(g));
      return (-lr * m) / ((1 - p.beta1 ** t) * (slots.norm[i] + p.epsilon));
    }
    case 'nadam': {
      const u = (k: number) => p.beta1 * (1 - 0.5 * 0.96 ** k);
      let product = 1;
      for (let k = 1; k <= t; k++) product *= u(k);
      const m = blend(slots.momentum, p.beta1, g);
      const v = blend(slots.velocity, p.beta2, g ** 2);
      const mHat = (u(t + 1) * m) / (1 - product * u(t + 1)) + ((1 - u(t)) * g) / (1 - product);
      return (-mHat * lr) / (Math.sqrt(v / (1 - p.beta2 ** t)) + p.epsilon);
    }
  }
}

/** max |actual - expected| / max |expected|. */
export function relativeError(actual: ArrayLike<number>, expected: ArrayLike<number>): number {
  let difference = 0;
  let scale = 0;
  for (let i = 0; i < expected.length; i++) {
    const delta = Math.abs(actual[i] - expected[i]);
    if (!(delta <= difference)) difference = delta;
    scale = Math.max(scale, Math.abs(expected[i]));
  }
  return difference / scale;
}

/** The slots as plain arrays, to be compared with `toEqual`. */
export const plainSlots = (slots: ReadonlyMap<string, Slots>) =>
  new Map(
    [...slots].map(([name, own]) => [
      name,
      Object.fromEntries(Object.entries(own).map(([slot, values]) => [slot, [...values]])),
    ]),
  );
