import { Cluster } from '../coordinator/cluster.js';
import { loadJob } from '../coordinator/load-job.js';
import { LockstepError } from '../shared/errors.js';
import { readToken } from '../shared/token.js';
import type { CoordinatorOptions } from './commands.js';
import { plural } from './format.js';
import { readPem } from './pem.js';
import { checkRunOptions, faultsOf, invocationOf, runTraining, withoutWorkers } from './run-training.js';
import { openView } from './view.js';

/** `lockstep coordinator`: on workers that join over the network. */
export async function coordinator(path: string, options: CoordinatorOptions): Promise<number> {
  await checkRunOptions(options);
  const { listen, workers, insecure, backend, threadsPerWorker, allowMixed } = options;
  const tls = await readTls(options);
  const faults = await faultsOf(options);
  const job = await loadJob(path);
  const view = openView({ ...options, invocation: invocationOf(path, options) });
  const warn = (text: string): void => view.announce({ tone: 'warning', text: `warning: ${text}` });
  return runTraining(job, options, view, async (onEvent) => {
    const token = await readToken({ file: options.tokenFile, environment: process.env, warn });
    const cluster = await Cluster.listen({
      ...listen,
      token,
      workers,
      ...(tls === null ? {} : { tls }),
      insecure,
      allowedOrigins: options.allowOrigin,
      backend,
      threadsPerWorker,
      ...withoutWorkers(options.waitForWorkers),
      allowMixed,
      job,
      onEvent,
      ...faults,
    });
    const wanted = `${plural(workers, 'worker')} to join ${cluster.url}`;
    view.announce({ tone: 'plain', text: `waiting for ${wanted}` });
    return cluster;
  });
}

async function readTls({
  tlsCert,
  tlsKey,
}: CoordinatorOptions): Promise<{ cert: string; key: string } | null> {
  if (tlsCert === undefined && tlsKey === undefined) return null;
  if (tlsCert === undefined || tlsKey === undefined) {
    throw new LockstepError('BAD_OPTION', '--tls-cert and --tls-key go together', {
      hint: 'Give both files.',
    });
  }
  return { cert: await readPem('--tls-cert', tlsCert), key: await readPem('--tls-key', tlsKey) };
}
