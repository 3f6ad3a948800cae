import { type Builders, buildersOf, type Params, resolveBuiltin } from '../builtin-functions.js';
import { lossDefaults } from '../losses.js';
import type { FunctionRef } from '../program.js';

/**
 * Every metric with its parameters' defaults, as in Keras: every loss is one, and `cosineSimilarity` has the
 * metric's sign (1 for equal directions), `cosineProximity` the loss's.
 */
export const metricDefaults = {
  ...lossDefaults,
  /** Binary for outputs one wide, sparse for labels that are class numbers, else categorical. */
  accuracy: {},
  /** Binary, sparse or categorical cross-entropy, by the same rule. */
  crossentropy: {},
  binaryAccuracy: { threshold: 0.5 },
  categoricalAccuracy: {},
  sparseCategoricalAccuracy: {},
  topKCategoricalAccuracy: { k: 5 },
  sparseTopKCategoricalAccuracy: { k: 5 },
  precision: { threshold: 0.5 },
  recall: { threshold: 0.5 },
  auc: {},
  rootMeanSquaredError: {},
  cosineSimilarity: {},
  cosineProximity: {},
  r2Score: {},
} as const satisfies Record<string, Params>;

export type MetricName = keyof typeof metricDefaults;

const aliases: Readonly<Record<string, MetricName>> = {
  acc: 'accuracy',
  ce: 'crossentropy',
  mse: 'meanSquaredError',
  mae: 'meanAbsoluteError',
  mape: 'meanAbsolutePercentageError',
  msle: 'meanSquaredLogarithmicError',
  rmse: 'rootMeanSquaredError',
  bce: 'binaryCrossentropy',
  kld: 'kullbackLeiblerDivergence',
  klDivergence: 'kullbackLeiblerDivergence',
  cosine: 'cosineProximity',
};

/** The metrics, for those that need a parameter: `metrics.topKCategoricalAccuracy({ k: 3 })`. */
export const metrics: Builders<typeof metricDefaults> = buildersOf('metric', metricDefaults);

/**
 * A metric by its Keras or TensorFlow.js name, in camelCase or snake_case, or short (`acc`, `mse`…).
 * @throws LockstepError JOB_INVALID naming the nearest name and all others
 */
export function resolveMetricName(name: string): FunctionRef {
  return resolveBuiltin('metric', metricDefaults, aliases, name);
}

/** The name in logs, as in Keras: a string as the user wrote it, else the metric's name in snake_case. */
export function metricLabel(metric: string | FunctionRef): string {
  if (typeof metric === 'string') return metric;
  if (metric.kind === 'job') return metric.name;
  return metric.name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}
