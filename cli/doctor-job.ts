import { extname } from 'node:path';
import { fileURLToPath } from 'node:url';
import { z } from 'zod';
import { loadJob } from '../coordinator/load-job.js';
import type { BackendName } from '../shared/backends.js';
import { fingerprintSchema } from '../shared/fingerprint.js';
import { hasNvidiaGpu } from '../worker/backend/gpu.js';
import { providerOf } from '../worker/compute/compiled/onnx/runtime-package.js';
import { candidatesOf } from './doctor.js';
import { autoTakes } from './doctor-report.js';
import { milliseconds, table } from './format.js';
import { runProbe } from './probe-process.js';
import { checkDataDir } from './run-training.js';
import { silenceTfjsBanner } from './tfjs-banner.js';

/** It reads the job's data before it computes. */
const probeDeadlineMs = 120_000;

/** What the process says that computes a job's first shard on one backend. */
const jobProbeSchema = z.discriminatedUnion('works', [
  z.strictObject({
    works: z.literal(true),
    fingerprint: fingerprintSchema,
    /** Gradients of the shard in hand. */
    shardMs: z.number().positive(),
    /** Whether it follows from that of two rows. */
    isEstimate: z.boolean(),
    /** Null for a backend that computes op by op. */
    cost: z
      .strictObject({
        traceMs: z.number(),
        emitMs: z.number(),
        sessionMs: z.number(),
        readMs: z.number().nullable(),
        operators: z.int(),
      })
      .nullable(),
  }),
  z.strictObject({ works: z.literal(false), reason: z.string(), hint: z.string() }),
]);

export type JobProbe = z.infer<typeof jobProbeSchema>;
type JobProbes = readonly { readonly backend: BackendName; readonly probe: JobProbe }[];

/**
 * Computes a job's first shard on every backend but `cpu`, each in a process of its own, and tells whether its step
 * compiles, what that costs, and how long the shard takes.
 * @returns the exit code: 0 if at least one backend computes it, else 1
 * @throws LockstepError for a job that cannot be read
 */
export async function runJobDoctor(
  job: string,
  { write, threads, data }: { write: (line: string) => void; threads: number; data?: string | undefined },
): Promise<0 | 1> {
  silenceTfjsBanner();
  await checkDataDir(data);
  const { path } = await loadJob(job);
  const extension = extname(fileURLToPath(import.meta.url));
  const program = fileURLToPath(new URL(`./doctor-job-probe${extension}`, import.meta.url));
  const probes: { backend: BackendName; probe: JobProbe }[] = [];
  for (const backend of candidatesOf({ hasNvidiaGpu: hasNvidiaGpu() })) {
    // It takes minutes where the others take milliseconds.
    if (backend === 'cpu') continue;
    const args = [backend, String(threads), path, ...(data === undefined ? [] : [data])];
    const limits = { threads, deadlineMs: probeDeadlineMs, schema: jobProbeSchema };
    probes.push({ backend, probe: await runProbe({ program, args, backend, ...limits }) });
  }
  for (const line of jobReportLines(probes)) write(line);
  return probes.some(({ probe: { works } }) => works) ? 0 : 1;
}

/** One row per backend: the time of the shard, and what compiling costs or why it is not computed. */
export function jobReportLines(probes: JobProbes): string[] {
  const rows = probes.map(({ backend, probe }) => {
    if (!probe.works) return [backend, '-', probe.reason];
    const { shardMs, isEstimate, cost } = probe;
    const [trace, emit, session] = [cost?.traceMs, cost?.emitMs, cost?.sessionMs].map((ms = 0) =>
      milliseconds(ms),
    );
    const readMs = cost?.readMs ?? null;
    const fromFile = readMs === null ? '' : ` (${milliseconds(readMs)} from the file of an earlier run)`;
    const how =
      cost === null
        ? 'op by op'
        : `compiled into ${cost.operators} operators: trace ${trace}, emit ${emit}${fromFile}, session ${session}`;
    return [backend, `${isEstimate ? '~ ' : ''}${milliseconds(shardMs)}`, how];
  });
  return [...table([['backend', 'first shard', 'how'], ...rows]), '', ...verdictOf(probes)];
}

function verdictOf(probes: JobProbes): string[] {
  const taken = autoTakes(probes);
  if (taken === undefined) return ['No backend computes this job here.'];
  if (!taken.probe.works || providerOf(taken.backend) === null) {
    return [`--backend auto computes it op by op on ${taken.backend}.`];
  }
  const { shardMs } = taken.probe;
  const others = probes.flatMap(({ backend, probe }) =>
    probe.works && providerOf(backend) === null
      ? [`${(probe.shardMs / shardMs).toFixed(1)} × as fast as ${backend}`]
      : [],
  );
  return [[`--backend auto compiles it and takes ${taken.backend}`, ...others].join(', ').concat('.')];
}
