/**
 * Lockstep's public API.
 *
 * @packageDocumentation
 */
export type {
  Callback,
  CallbackState,
  Logs,
  Training,
  TrainingParams,
} from './coordinator/callbacks/callback.js';
export { csvLogger } from './coordinator/callbacks/csv-logger.js';
export { earlyStopping } from './coordinator/callbacks/early-stopping.js';
export type { History } from './coordinator/callbacks/history.js';
export { lambdaCallback } from './coordinator/callbacks/lambda-callback.js';
export { learningRateScheduler } from './coordinator/callbacks/learning-rate-scheduler.js';
export { modelCheckpoint } from './coordinator/callbacks/model-checkpoint.js';
export { reduceLROnPlateau } from './coordinator/callbacks/reduce-lr-on-plateau.js';
export { terminateOnNaN } from './coordinator/callbacks/terminate-on-nan.js';
export {
  Cluster,
  type ClusterOptions,
  type ListenClusterOptions,
  type LocalOptions,
} from './coordinator/cluster.js';
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
export { type ErrorCode, errorCodes, LockstepError } from './shared/errors.js';
export { Random } from './shared/random.js';
