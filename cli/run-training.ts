import { constants } from 'node:fs';
import { access, stat, writeFile } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { type FaultPlan, readFaultPlan } from '../chaos/plan.js';
import type { Cluster } from '../coordinator/cluster.js';
import type { RunListener } from '../coordinator/events.js';
import type { LoadedJob } from '../coordinator/job.js';
import { trainJob } from '../coordinator/train-job.js';
import { LockstepError, messageOf } from '../shared/errors.js';
import type { Invocation } from './announcements.js';
import type { RunOptions } from './commands.js';
import { Interrupt } from './interrupt.js';
import { writeRunAccess } from './run-access.js';
import { silenceTfjsBanner } from './tfjs-banner.js';
import type { View } from './view.js';

/** What saying goodbye to workers, and ending local ones that do not answer, may take. */
const endingMs = 10_000;

/**
 * Trains on a cluster that it opens and closes, for `train` and `coordinator`.
 * @returns the exit code: 0, or 130 or 143 after a signal
 */
export async function runTraining(
  job: LoadedJob,
  options: RunOptions,
  view: View,
  openCluster: (onEvent: RunListener) => Promise<Cluster>,
): Promise<number> {
  silenceTfjsBanner();
  let hasStarted = false;
  let cluster: Cluster | null = null;
  let takeAway: Promise<() => void> = Promise.resolve(async () => {});
  const onEvent: RunListener = (event) => {
    // From here on the folder is this run's. A token that others gave is not written anywhere.
    const folder = cluster?.url.startsWith('ws+unix:') ? options.checkpointDir : undefined;
    if (event.type === 'start' && !hasStarted && cluster !== null && folder !== undefined) {
      const { url, token } = cluster;
      takeAway = writeRunAccess(folder, { url, token }).catch((error: unknown) => {
        const text = `warning: lockstep status cannot be used with the run's folder: ${messageOf(error)}`;
        view.announce({ tone: 'warning', text });
        return () => {};
      });
    }
    hasStarted ||= event.type === 'start';
    view.onEvent(event);
  };
  const saving = options.checkpointDir === undefined ? '' : ', then saving';
  const graceMs = options.graceSeconds * 1_000;
  const interrupt = new Interrupt({
    onFirst: () =>
      view.announce({
        tone: 'warning',
        text: hasStarted
          ? `finishing the step, for at most ${options.graceSeconds} s${saving}; press Ctrl-C again to stop at once`
          : 'stopping: nothing has been trained yet',
      }),
    onForced(why) {
      if (why !== null) view.announce({ tone: 'warning', text: `${why}: ending now` });
      view.close();
    },
    endMs: 2 * graceMs + endingMs,
  });
  // Before the first step there is nothing to save, and workers or data may be long in coming.
  const stoppedEarly = new Promise<null>((resolve) => {
    interrupt.signal.addEventListener('abort', () => {
      if (!hasStarted) resolve(null);
    });
  });
  try {
    cluster = await openCluster(onEvent);
    const { seed, shards, epochs, batchSize, auditFraction, onNonFinite, checkpointDir } = options;
    const training = trainJob(cluster, job, {
      ...defined({ seed, shards, epochs, batchSize, auditFraction, onNonFinite, checkpointDir }),
      resume: options.resume,
      recordShards: options.recordShards,
      dataDir: options.data === undefined ? null : resolve(options.data),
      signal: interrupt.signal,
      graceMs,
    });
    const report = await Promise.race([training, stoppedEarly]);
    if (report === null) {
      // Closing the cluster makes it fail, which is no news any more.
      training.catch(() => {});
      return interrupt.exitCode ?? 130;
    }
    if (options.report !== undefined) await writeReport(options.report, report);
    return report.cause === 'signal' ? (interrupt.exitCode ?? 130) : 0;
  } finally {
    await (await takeAway)();
    await cluster?.close();
    interrupt.close();
    view.close();
  }
}

/** `--wait-for-workers` as a cluster takes it. */
export function withoutWorkers(seconds: number | undefined): { withoutWorkersMs?: number } {
  return seconds === undefined ? {} : { withoutWorkersMs: seconds * 1_000 };
}

type Defined<T> = { [K in keyof T]?: Exclude<T[K], undefined> };

/** Without the options that were not given: the job's own values stand. */
function defined<T extends object>(options: T): Defined<T> {
  return Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined)) as Defined<T>;
}

/**
 * Finds out before training what would fail after it.
 * @throws LockstepError BAD_OPTION, DATA_NOT_FOUND
 */
export async function checkRunOptions(
  options: Pick<RunOptions, 'resume' | 'checkpointDir' | 'report' | 'data'> & {
    readonly recordShards?: boolean;
  },
): Promise<void> {
  const { resume, recordShards = false, checkpointDir, report, data } = options;
  if (resume && checkpointDir === undefined) {
    throw new LockstepError('BAD_OPTION', '--resume needs --checkpoint-dir', {
      hint: 'Add --checkpoint-dir DIR with the folder of the run to go on with.',
    });
  }
  if (recordShards && checkpointDir === undefined) {
    throw new LockstepError('BAD_OPTION', '--record-shards needs --checkpoint-dir', {
      hint: 'Add --checkpoint-dir DIR: the receipts are written there.',
    });
  }
  await checkDataDir(data);
  if (report !== undefined) {
    await access(dirname(resolve(report)), constants.W_OK).catch((cause: unknown) => {
      throw unwritableReport(report, cause);
    });
  }
}

/** The cluster's part of `--faults`. @throws LockstepError BAD_OPTION for a plan that cannot be used */
export async function faultsOf({ faults }: RunOptions): Promise<{ faults?: FaultPlan }> {
  return faults === undefined ? {} : { faults: await readFaultPlan(faults) };
}

/** @throws LockstepError DATA_NOT_FOUND if the folder of `--data` is none */
export async function checkDataDir(data: string | undefined): Promise<void> {
  if (data === undefined) return;
  const isDirectory = await stat(data).then(
    (found) => found.isDirectory(),
    () => false,
  );
  if (isDirectory) return;
  throw new LockstepError('DATA_NOT_FOUND', `--data ${data} is not a folder`, {
    hint: 'Give the folder that holds the data of the job.',
  });
}

async function writeReport(file: string, report: unknown): Promise<void> {
  await writeFile(file, `${JSON.stringify(report, null, 2)}\n`).catch((cause: unknown) => {
    throw unwritableReport(file, cause);
  });
}

function unwritableReport(file: string, cause: unknown): LockstepError {
  return new LockstepError('BAD_OPTION', `cannot write the report ${file}: ${messageOf(cause)}`, {
    hint: 'Give a file in a folder that exists and that this user may write.',
    cause,
  });
}

/** What the line that repeats a run must say of the options given: all that bits may depend on. */
export function invocationOf(job: string, options: RunOptions): Invocation {
  const { epochs, batchSize, onNonFinite, data, threadsPerWorker } = options;
  return {
    job,
    options: [
      ...(epochs === undefined ? [] : ['--epochs', String(epochs)]),
      ...(batchSize === undefined ? [] : ['--batch-size', String(batchSize)]),
      ...(onNonFinite === undefined ? [] : ['--on-non-finite', onNonFinite]),
      ...(data === undefined ? [] : ['--data', data]),
      ...(threadsPerWorker === 1 ? [] : ['--threads-per-worker', String(threadsPerWorker)]),
    ],
  };
}
