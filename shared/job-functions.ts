import type * as tf from '@tensorflow/tfjs';

/** A custom loss: per-sample values, `yPred`'s shape without its last axis. Synchronous. */
export type LossFunction = (yTrue: tf.Tensor, yPred: tf.Tensor) => tf.Tensor;

/** A custom metric: per-sample values, averaged over the whole set. Synchronous. */
export type MetricFunction = (yTrue: tf.Tensor, yPred: tf.Tensor) => tf.Tensor;

/**
 * The custom functions of a job file, by the key a `FunctionRef` of kind `job` carries: `loss`, `loss/OUTPUT`,
 * `metrics/INDEX`, `metrics/OUTPUT/INDEX` (and the same under `weightedMetrics`).
 */
export type JobFunctions = ReadonlyMap<string, LossFunction | MetricFunction>;
