/**
 * Whether a long run grows any process: `npx tsx bench/soak.ts [--minutes 30] [--backend tensorflow|wasm] [--workers 2]`.
 * Trains the demo's CNN with validation and checkpoints for so long, samples the resident set of the coordinator
 * and of each worker, and fails if both the mean and the least of the last quarter exceed those of the second by more
 * than 2 % and 8 MiB. Some tens of MiB of received buffers always wait for the collector, and chance moves the mean
 * or the least of a quarter by as much; what is held for good raises both. Run `npm run build` first.
 */

import { execFile } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs, promisify } from 'node:util';
import { Cluster, type RunEvent } from 'lockstep';
import { compileOptions } from './compile-options.js';
import { buildCnn, digitsCnn } from './digits-cnn.js';
import { describeMachine } from './machine.js';

const mebibyte = 2 ** 20;
const allowed = { fraction: 0.02, mebibytes: 8 };

const { values } = parseArgs({
  options: {
    minutes: { type: 'string', default: '30' },
    backend: { type: 'string', default: 'wasm' },
    workers: { type: 'string', default: '2' },
  },
});
const durationMs = Number(values.minutes) * 60_000;
const sampleMs = Math.max(500, durationMs / 600);

/** Resident sets in MiB by process, over time. */
const samples = new Map<string, number[]>([['coordinator', []]]);
const pids = new Map<string, number>([['coordinator', process.pid]]);

async function sample(): Promise<void> {
  for (const [name, pid] of pids) {
    const kibibytes = Number((await promisify(execFile)('ps', ['-o', 'rss=', '-p', String(pid)])).stdout);
    // A process that has just ended holds nothing.
    if (kibibytes > 0) samples.get(name)?.push((kibibytes * 1024) / mebibyte);
  }
}

let steps = 0;
function follow(event: RunEvent): void {
  if (event.type === 'step') steps = event.step;
  if (event.type !== 'worker-joined') return;
  const name = `worker ${event.worker.worker}`;
  pids.set(name, event.worker.pid);
  samples.set(name, []);
}

const mean = (numbers: readonly number[]): number => numbers.reduce((sum, n) => sum + n, 0) / numbers.length;

/** Gives whether the process stayed as it was. */
function judge(name: string, sizes: readonly number[]): boolean {
  const quarter = Math.floor(sizes.length / 4);
  const quarters = [0, 1, 2, 3].map((i) => sizes.slice(i * quarter, (i + 1) * quarter));
  const means = quarters.map(mean);
  const least = quarters.map((one) => Math.min(...one));
  const hasGrown = ([, before, , after]: readonly number[]): boolean =>
    after - before > Math.max(allowed.mebibytes, allowed.fraction * before);
  const figures = (of: readonly number[]): string => of.map((size) => size.toFixed(0)).join(', ');
  console.log(`${name.padEnd(12)} MiB by quarter: mean ${figures(means)}; least ${figures(least)}`);
  return !(hasGrown(means) && hasGrown(least));
}

console.log(describeMachine());
const { images, labels, rows } = await digitsCnn(1_024, 64);
const directory = await mkdtemp(join(tmpdir(), 'lockstep-soak-'));
const cluster = await Cluster.local({
  backend: values.backend as 'tensorflow' | 'wasm' | 'cpu',
  workers: Number(values.workers),
  onEvent: follow,
});
const model = await buildCnn();
model.compile(compileOptions);
const data = { x: { dtype: 'uint8' as const, shape: [rows, 28, 28, 1], data: images }, y: labels };
const timer = setInterval(() => void sample(), sampleMs);
await cluster.fit(model, data, {
  batchSize: 64,
  epochs: 1_000_000,
  validationSplit: 0.125,
  checkpoint: { directory, everySteps: 25 },
  signal: AbortSignal.timeout(durationMs),
});
clearInterval(timer);
await cluster.close();
await rm(directory, { recursive: true, force: true });

console.log(`${steps} steps in ${values.minutes} minutes on ${values.backend}, ${values.workers} workers`);
const steady = [...samples].map(([name, sizes]) => judge(name, sizes));
console.log(steady.every(Boolean) ? 'no process grew' : 'a process grew');
if (!steady.every(Boolean)) process.exitCode = 1;
