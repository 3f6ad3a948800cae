import { resolve } from 'node:path';
import { Cluster } from '../coordinator/cluster.js';
import type { RunEvent } from '../coordinator/events.js';
import { defineJob, type LoadedJob } from '../coordinator/job.js';
import { loadJob } from '../coordinator/load-job.js';
import { type Comparison, compareReceipts } from '../coordinator/receipts/compare.js';
import { type Description, describeDifference } from '../coordinator/receipts/describe.js';
import type { Receipt, ReceiptsHeader } from '../coordinator/receipts/receipt.js';
import type { RunReport } from '../coordinator/report.js';
import { trainJob } from '../coordinator/train-job.js';
import { LockstepError } from '../shared/errors.js';
import type { VerifyOptions } from './commands.js';
import { plural } from './format.js';
import { Interrupt } from './interrupt.js';
import { checkDataDir } from './run-training.js';
import { silenceTfjsBanner } from './tfjs-banner.js';
import { openView, type View } from './view.js';

const steps = 20;
/** A worker is killed in the middle of the step after this one. */
const killAfterStep = 5;

interface Plan {
  readonly name: string;
  readonly workers: number;
  readonly kill: boolean;
}

const plans: readonly Plan[] = [
  { name: '1 worker', workers: 1, kill: false },
  { name: '3 workers', workers: 3, kill: false },
  { name: '2 workers, one killed', workers: 2, kill: true },
];

/**
 * `lockstep verify`: the same steps by different workers, compared bit by bit.
 * @throws LockstepError NOT_DETERMINISTIC naming the first step, and in it the first shard and tensor, that differ
 */
export async function verify(path: string, options: VerifyOptions): Promise<number> {
  silenceTfjsBanner();
  await checkDataDir(options.data);
  const loaded = withoutSideEffects(await loadJob(path));
  const view = openView({ invocation: null, quiet: false, verbose: options.verbose });
  const interrupt = new Interrupt({
    onFirst: () => view.announce({ tone: 'warning', text: 'stopping after this step' }),
    onForced: () => view.close(),
    endMs: null,
  });
  try {
    let reference: Run | null = null;
    for (const plan of plans) {
      const own = await run(plan, loaded, options, view, interrupt.signal);
      if (interrupt.exitCode !== null) return interrupt.exitCode;
      const { steps, weightsSha256: hash } = own.report;
      view.announce({ tone: 'plain', text: `${plan.name}: ${plural(steps, 'step')}, weights ${hash}` });
      reference ??= own;
      const comparison = await compareReceipts(reference.receipts, own.receipts);
      const found = describe(comparison, plans[0].name, plan.name);
      if (found !== null) throw new LockstepError('NOT_DETERMINISTIC', found.what, found);
      if (plan.kill && !own.lostWorker) {
        const text = 'not proven: the run ended before a worker could be killed; verify with more data';
        view.announce({ tone: 'warning', text });
        return 1;
      }
    }
    view.announce({ tone: 'good', text: `same bits after each of ${reference?.report.steps ?? 0} steps` });
    return 0;
  } catch (error) {
    if (interrupt.exitCode !== null) return interrupt.exitCode;
    throw error;
  } finally {
    interrupt.close();
    view.close();
  }
}

function describe({ difference, last }: Comparison, a: string, b: string): Description | null {
  if (difference !== null) return describeDifference(difference, a, b);
  if (last[0] === last[1]) return null;
  return {
    what: `${a} made ${last[0]} steps, ${b} ${last[1]}`,
    hint: "Look at the job's data: it must give as many batches each time.",
  };
}

/** Callbacks may write files, and validation changes no bit of the weights. */
function withoutSideEffects(loaded: LoadedJob): LoadedJob {
  const job = { ...loaded.job, callbacks: [], validationFreq: Number.MAX_SAFE_INTEGER };
  return { ...loaded, job: defineJob(job) };
}

interface Run {
  readonly receipts: readonly (Receipt | ReceiptsHeader)[];
  readonly report: RunReport;
  /** Whether a worker was killed and the trainer noticed. */
  readonly lostWorker: boolean;
}

async function run(
  { name, workers, kill }: Plan,
  loaded: LoadedJob,
  { backend, threadsPerWorker, data, seed, shards = loaded.job.shards ?? 4 }: VerifyOptions,
  view: View,
  signal: AbortSignal,
): Promise<Run> {
  const receipts: (Receipt | ReceiptsHeader)[] = [];
  let victim: number | null = null;
  let timer: NodeJS.Timeout | null = null;
  let killed = false;
  let lostWorker = false;
  let stepMs = 0;
  const onEvent = (event: RunEvent): void => {
    if (event.type === 'workers') victim = event.workers.at(-1)?.pid ?? null;
    if (event.type === 'worker-lost') lostWorker = killed;
    if (event.type === 'step') stepMs = event.stepMs;
    // The run's own lines would bury the comparison; only what disturbs it is shown.
    if (event.type === 'warning' || event.type === 'worker-lost') view.onEvent(event);
  };
  view.announce({ tone: 'dim', text: `training by ${name}` });
  // A worker whose canary has other bits must take part: what differs is to be named.
  const cluster = await Cluster.local({
    ...{ workers, backend, threadsPerWorker, onEvent },
    job: loaded,
    allowMixed: true,
  });
  try {
    const report = await trainJob(cluster, loaded, {
      shards,
      ...(seed === undefined ? {} : { seed }),
      // An epoch has at least one step.
      epochs: (loaded.job.initialEpoch ?? 0) + steps,
      maxSteps: steps,
      dataDir: data === undefined ? null : resolve(data),
      signal,
      recordShards: true,
      onReceipt: (receipt) => {
        receipts.push(receipt);
        if (!kill || !('data' in receipt) || receipt.step !== killAfterStep || victim === null) return;
        const pid = victim;
        timer = setTimeout(() => {
          killed = process.kill(pid, 'SIGKILL');
        }, stepMs / 2);
      },
    });
    return { receipts, report, lostWorker };
  } finally {
    if (timer !== null) clearTimeout(timer);
    await cluster.close();
  }
}
