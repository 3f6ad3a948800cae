import { type Builders, buildersOf, type Params, resolveBuiltin } from './builtin-functions.js';
import type { FunctionRef } from './program.js';

/** Every loss with its parameters' defaults, as in Keras. */
export const lossDefaults = {
  meanSquaredError: {},
  meanAbsoluteError: {},
  meanAbsolutePercentageError: {},
  meanSquaredLogarithmicError: {},
  squaredHinge: {},
  hinge: {},
  categoricalHinge: {},
  logcosh: {},
  huber: { delta: 1 },
  categoricalCrossentropy: { fromLogits: false, labelSmoothing: 0 },
  sparseCategoricalCrossentropy: { fromLogits: false },
  binaryCrossentropy: { fromLogits: false, labelSmoothing: 0 },
  kullbackLeiblerDivergence: {},
  poisson: {},
  cosineSimilarity: {},
} as const satisfies Record<string, Params>;

export type LossName = keyof typeof lossDefaults;

const aliases: Readonly<Record<string, LossName>> = {
  mse: 'meanSquaredError',
  mae: 'meanAbsoluteError',
  mape: 'meanAbsolutePercentageError',
  msle: 'meanSquaredLogarithmicError',
  bce: 'binaryCrossentropy',
  kld: 'kullbackLeiblerDivergence',
  klDivergence: 'kullbackLeiblerDivergence',
  huberLoss: 'huber',
  cosineProximity: 'cosineSimilarity',
  cosine: 'cosineSimilarity',
};

/**
 * The losses, for those that need a parameter: `losses.huber({ delta: 2 })`,
 * `losses.binaryCrossentropy({ fromLogits: true, labelSmoothing: 0.1 })`.
 */
export const losses: Builders<typeof lossDefaults> = buildersOf('loss', lossDefaults);

/**
 * A loss by its Keras or TensorFlow.js name, in camelCase or snake_case, or short (`mse`, `kld`…).
 * @throws LockstepError JOB_INVALID naming the nearest name and all others
 */
export function resolveLossName(name: string): FunctionRef {
  return resolveBuiltin('loss', lossDefaults, aliases, name);
}

/** Whether the loss takes class numbers instead of one-hot rows. */
export function isSparseLoss(loss: FunctionRef): boolean {
  return loss.kind === 'builtin' && loss.name === 'sparseCategoricalCrossentropy';
}
