/**
 * Lockstep: a distributed, data-parallel trainer for TensorFlow.js that gives the same bits on any number of
 * workers.
 *
 * @packageDocumentation
 */

// Faults
export type { InjectedFault } from './chaos/ledger.js';
export type { FaultPlan } from './chaos/plan.js';
// Callbacks
export type { Callback, CallbackState, Logs, Training } from './coordinator/callbacks/callback.js';
export { csvLogger } from './coordinator/callbacks/csv-logger.js';
export { earlyStopping } from './coordinator/callbacks/early-stopping.js';
export { History } from './coordinator/callbacks/history.js';
export { lambdaCallback } from './coordinator/callbacks/lambda-callback.js';
export { learningRateScheduler } from './coordinator/callbacks/learning-rate-scheduler.js';
export { modelCheckpoint } from './coordinator/callbacks/model-checkpoint.js';
export { reduceLROnPlateau } from './coordinator/callbacks/reduce-lr-on-plateau.js';
export { terminateOnNaN } from './coordinator/callbacks/terminate-on-nan.js';
// Models on disk, randomness, errors
export { loadModel, saveModel } from './coordinator/checkpoint/saved-model.js';
export {
  Cluster,
  type ClusterOptions,
  type ListenClusterOptions,
  type LocalOptions,
} from './coordinator/cluster.js';
export { type ArrayData, fromArrays } from './coordinator/data/array-dataset.js';
export { type CsvOptions, readCsv, Table } from './coordinator/data/csv.js';
// Data
export type { Batch, Dataset, StreamDataset, StreamRecord } from './coordinator/data/dataset.js';
export {
  applyFeatures,
  type FeatureOptions,
  type Features,
  featureWidth,
  fitFeatures,
} from './coordinator/data/features.js';
export { readIdx } from './coordinator/data/idx.js';
export { splitDataset, subset } from './coordinator/data/subset.js';
export type { RunEvent, RunListener } from './coordinator/events.js';
export { defineJob, type Job, type JobContext, type JobData } from './coordinator/job.js';
export type { EvaluateOptions, PredictOptions } from './coordinator/loop/evaluate-model.js';
export type { FitData, FitOptions } from './coordinator/loop/fit.js';
export {
  adadelta,
  adagrad,
  adam,
  adamax,
  adamw,
  nadam,
  rmsprop,
  sgd,
} from './coordinator/optimizer/configs.js';
export type { OptimizerConfig, Schedule, SchedulePoint } from './coordinator/optimizer/optimizer.js';
export {
  constant,
  cosineDecay,
  cosineDecayRestarts,
  exponentialDecay,
  inverseTimeDecay,
  oneCycle,
  piecewiseConstantDecay,
  polynomialDecay,
  schedule,
} from './coordinator/optimizer/schedules.js';
export type { RunReport } from './coordinator/report.js';
export { type ErrorCode, errorCodes, LockstepError } from './shared/errors.js';
export type { LossFunction, MetricFunction } from './shared/job-functions.js';
// Losses, metrics, optimizers, schedules
export { losses } from './shared/losses.js';
export { metrics } from './shared/metrics/metrics.js';
export { deriveSeed, Random } from './shared/random.js';
export type { HostTensor } from './shared/tensors.js';
export { version } from './shared/version.js';
