// The process in which `lockstep doctor JOB` computes the job's first shard on one backend.
//
//   node doctor-job-probe.js BACKEND THREADS JOB [DATA]
import { loadJob } from '../coordinator/load-job.js';
import { backendNames } from '../shared/backends.js';
import { InvariantError, LockstepError } from '../shared/errors.js';
import type { JobFunctions } from '../shared/job-functions.js';
import { loadBackend } from '../worker/backend/select.js';
import { firstRows } from '../worker/compute/compiled/comparison.js';
import { type CompileCost, measureCompilation } from '../worker/compute/compiled/compile-cost.js';
import { providerOf } from '../worker/compute/compiled/onnx/runtime-package.js';
import { type StepFolder, stepFolder } from '../worker/compute/compiled/step-folder.js';
import { createProgram } from '../worker/compute/create-program.js';
import { jobFunctions } from '../worker/compute/job-functions.js';
import type { JobProbe } from './doctor-job.js';
import { firstShardOf, type JobShard } from './job-shard.js';

/** What would take longer for all rows of a shard is measured on two of them. */
const slowMs = 5_000;
const repeats = 5;

async function measure(
  { spec, weights, task }: JobShard,
  functions: JobFunctions,
  folder: StepFolder | null,
  { backend, threads }: { backend: (typeof backendNames)[number]; threads: number },
): Promise<JobProbe> {
  const { fingerprint } = await loadBackend({ backend, threads });
  const { program, tryOut } = await createProgram(spec, functions, fingerprint);
  const trial = await tryOut?.(true);
  const hint = 'It is computed op by op, unless --backend onnx asks for it.';
  if (trial?.verdict === 'refused') return { works: false, reason: trial.reason, hint };
  program.setWeights(weights);
  const timed = async (of: typeof task): Promise<number> => {
    const startMs = performance.now();
    await program.train(of);
    return performance.now() - startMs;
  };
  const rows = task.data.x[0].shape[0];
  const few = firstRows(task);
  const fewRows = few.data.x[0].shape[0];
  await timed(few);
  const scaledMs = ((await timed(few)) * rows) / fewRows;
  const isEstimate = scaledMs > slowMs;
  const durations: number[] = [];
  for (let i = -1; i < repeats && !isEstimate; i++) {
    const ms = await timed(task);
    if (i >= 0) durations.push(ms);
  }
  const shardMs = isEstimate ? scaledMs : durations.sort((a, b) => a - b)[Math.floor(repeats / 2)];
  const provider = providerOf(backend);
  const cost: CompileCost | null =
    provider === null ? null : await measureCompilation({ spec, functions, task, threads, provider, folder });
  return { works: true, fingerprint, shardMs, isEstimate, cost };
}

async function probe(name: string, threads: number, path: string, data: string | null): Promise<JobProbe> {
  const backend = backendNames.find((known) => known === name);
  if (backend === undefined) throw new InvariantError(`doctor asked for the backend ${name}`);
  try {
    const loaded = await loadJob(path);
    const functions = await jobFunctions(loaded.path, loaded.hasCode ? loaded.sha256 : null);
    const folder = loaded.hasCode ? null : stepFolder();
    return await measure(await firstShardOf(loaded, data), functions, folder, { backend, threads });
  } catch (error) {
    if (!(error instanceof LockstepError)) throw error;
    return { works: false, reason: error.message, hint: error.hint };
  }
}

const [name, threads, path, data] = process.argv.slice(2);
process.send?.(await probe(name, Number(threads), path, data ?? null), () => process.exit(0));
