/**
 * Lockstep's public API.
 *
 * @packageDocumentation
 */
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
export { type ErrorCode, errorCodes, LockstepError } from './shared/errors.js';
export { Random } from './shared/random.js';
