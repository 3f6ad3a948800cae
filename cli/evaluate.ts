import { resolve } from 'node:path';
import { Cluster } from '../coordinator/cluster.js';
import { loadJob } from '../coordinator/load-job.js';
import { evaluateJob } from '../coordinator/train-job.js';
import type { EvaluateOptions } from './commands.js';
import { metricsOf } from './progress.js';
import { checkDataDir } from './run-training.js';
import { silenceTfjsBanner } from './tfjs-banner.js';
import { openView } from './view.js';

/** `lockstep evaluate`: loss and metrics of a checkpoint on the job's validation data. */
export async function evaluate(path: string, options: EvaluateOptions): Promise<number> {
  silenceTfjsBanner();
  await checkDataDir(options.data);
  const job = await loadJob(path);
  const { workers, backend, threadsPerWorker, checkpoint, data, verbose } = options;
  const view = openView({ invocation: null, quiet: false, verbose });
  const { onEvent } = view;
  let cluster: Cluster | null = null;
  try {
    cluster = await Cluster.local({ workers, backend, threadsPerWorker, job, onEvent });
    const logs = await evaluateJob(cluster, job, {
      checkpointDir: resolve(checkpoint),
      dataDir: data === undefined ? null : resolve(data),
    });
    view.announce({ tone: 'good', text: metricsOf(logs).join(' · '), fields: { event: 'evaluated', logs } });
    return 0;
  } finally {
    await cluster?.close();
    view.close();
  }
}
