import { Cluster } from '../coordinator/cluster.js';
import { loadJob } from '../coordinator/load-job.js';
import type { TrainOptions } from './commands.js';
import { checkRunOptions, faultsOf, invocationOf, runTraining, withoutWorkers } from './run-training.js';
import { openView } from './view.js';

/** `lockstep train`: on worker processes of this machine. */
export async function train(path: string, options: TrainOptions): Promise<number> {
  await checkRunOptions(options);
  const job = await loadJob(path);
  const { workers, backend, threadsPerWorker, allowMixed, waitForWorkers } = options;
  const faults = await faultsOf(options);
  // Started by another process of Lockstep, it ends with that one, like a worker.
  process.once('disconnect', () => process.kill(process.pid, 'SIGTERM'));
  const view = openView({ ...options, invocation: invocationOf(path, options) });
  const cluster = {
    workers,
    backend,
    threadsPerWorker,
    allowMixed,
    ...withoutWorkers(waitForWorkers),
    job,
    ...faults,
  };
  return runTraining(job, options, view, (onEvent) => Cluster.local({ ...cluster, onEvent }));
}
