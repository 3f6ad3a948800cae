import { rmSync } from 'node:fs';
import { rm, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { differences, planOfRun, type RunBits, tallyOf, tallyRows, usualActions } from '../chaos/campaign.js';
import { makeCampaignFolder } from '../chaos/campaign-folder.js';
import type { InjectedFault } from '../chaos/ledger.js';
import { type RunEnd, runProcess } from '../chaos/run-process.js';
import { compareReceipts } from '../coordinator/receipts/compare.js';
import { describeDifference } from '../coordinator/receipts/describe.js';
import { type ReadLine, readReceipts } from '../coordinator/receipts/read-receipts.js';
import { receiptsPath } from '../coordinator/receipts/receipts.js';
import { LockstepError } from '../shared/errors.js';
import type { ChaosOptions } from './chaos-options.js';
import { duration, plural, shellQuoted, table } from './format.js';
import { Interrupt } from './interrupt.js';
import { checkRunOptions } from './run-training.js';
import { openView, type View } from './view.js';

const program = fileURLToPath(new URL('./main.js', import.meta.url));

/** One faulted run. */
interface Finished {
  readonly seed: number;
  readonly faults: readonly InjectedFault[];
  readonly restarts: number;
  readonly tornCheckpoints: number;
}

/** What `--report` of `lockstep chaos` writes. */
interface ChaosReport {
  readonly reference: RunBits;
  readonly runs: Finished[];
  differing: { readonly seed: number; readonly what: string } | null;
}

/**
 * `lockstep chaos`: a job undisturbed, then under random faults, and every hash compared.
 * @returns 0 if all runs have the same bits, 1 if one has not, 130 or 143 after a signal
 */
export async function chaos(path: string, options: ChaosOptions): Promise<number> {
  await checkRunOptions({ ...options, resume: false });
  const view = openView({ invocation: null, quiet: false, verbose: options.verbose });
  const folder = await makeCampaignFolder();
  const interrupt = new Interrupt({
    onFirst: () => view.announce({ tone: 'warning', text: 'ending the run; once more to stop at once' }),
    onForced: () => {
      rmSync(folder, { recursive: true, force: true });
      view.close();
    },
    endMs: 60_000,
  });
  try {
    return await compareRuns(path, options, { folder, view, interrupt });
  } finally {
    await rm(folder, { recursive: true, force: true });
    interrupt.close();
    view.close();
  }
}

async function compareRuns(
  path: string,
  options: ChaosOptions,
  { folder, view, interrupt }: { folder: string; view: View; interrupt: Interrupt },
): Promise<number> {
  const { signal } = interrupt;
  const actions = options.actions ?? usualActions;
  const command = [program, 'train', resolve(path), '--quiet', ...trainingOptions(options)];
  view.announce({ tone: 'dim', text: 'training undisturbed' });
  const startedMs = performance.now();
  const alone = join(folder, 'undisturbed');
  const undisturbed = await runProcess({ command, folder: alone, temporary: folder, plan: null, signal });
  if (undisturbed.status === 'aborted') return interrupt.exitCode ?? 130;
  if (undisturbed.status === 'failed') throw notEvenAlone(undisturbed.why);
  const { bits: reference } = undisturbed;
  const report: ChaosReport = { reference, runs: [], differing: null };
  view.announce({
    tone: 'plain',
    text: `undisturbed: ${plural(reference.steps, 'step')}, state ${reference.stateSha256.slice(0, 16)}…`,
  });
  // What was found out once must not be found out otherwise under faults.
  const pinned = ['--shards', String(reference.shards), ...backendOf(reference, options)];
  const runs = options.runs ?? (options.duration === undefined ? 5 : Number.POSITIVE_INFINITY);
  const untilMs = performance.now() + (options.duration ?? Number.POSITIVE_INFINITY);
  for (let run = 0; run < runs && (run === 0 || performance.now() < untilMs); run++) {
    const seed = options.seed + run;
    const plan = planOfRun({ seed, steps: reference.steps, actions, faultsPerRun: options.faultsPerRun });
    const own = join(folder, `seed-${seed}`);
    const end = await runProcess({
      command: [...command, ...pinned],
      folder: own,
      temporary: folder,
      plan,
      signal,
    });
    if (end.status === 'aborted') return interrupt.exitCode ?? 130;
    const what = end.status === 'failed' ? end.why : await differenceOf(reference, end, [alone, own]);
    if (end.status === 'done') {
      const { faults, restarts, tornCheckpoints } = end;
      report.runs.push({ seed, faults, restarts, tornCheckpoints });
    }
    if (what === null) {
      const hits = end.faults.filter(({ tookEffect }) => tookEffect).length;
      view.announce({ tone: 'plain', text: `seed ${seed}: same bits, ${plural(hits, 'fault')}` });
      await rm(own, { recursive: true });
      continue;
    }
    report.differing = { seed, what };
    for (const { step, do: action, phase, what: effect } of end.faults) {
      view.announce({ tone: 'plain', text: `  step ${step ?? '-'} ${phase} ${action}: ${effect}` });
    }
    break;
  }
  if (options.report !== undefined) await writeFile(options.report, `${JSON.stringify(report, null, 2)}\n`);
  return conclude(path, options, report, { view, elapsedMs: performance.now() - startedMs });
}

function conclude(
  path: string,
  options: ChaosOptions,
  { runs, differing }: ChaosReport,
  { view, elapsedMs }: { view: View; elapsedMs: number },
): number {
  const faults = runs.flatMap((run) => run.faults);
  const rows = table(tallyRows(tallyOf(faults)));
  for (const [row, text] of rows.entries()) view.announce({ tone: row === 0 ? 'heading' : 'plain', text });
  const restarts = runs.reduce((sum, run) => sum + run.restarts, 0);
  const torn = runs.reduce((sum, run) => sum + run.tornCheckpoints, 0);
  if (restarts > 0) {
    const text = `${plural(restarts, 'coordinator restart')}, ${torn} of them with a checkpoint half written`;
    view.announce({ tone: 'plain', text });
  }
  if (differing !== null) {
    const { seed, what } = differing;
    view.announce({ tone: 'warning', text: `seed ${seed} differs: ${what}` });
    const replay = [
      'lockstep',
      'chaos',
      path,
      '--seed',
      String(seed),
      '--runs',
      '1',
      ...chosenOptions(options),
    ];
    view.announce({ tone: 'warning', text: `again: ${replay.map(shellQuoted).join(' ')}` });
    return 1;
  }
  const effective = faults.filter(({ tookEffect }) => tookEffect).length;
  const took = `${plural(effective, 'fault')} that took effect, ${duration(elapsedMs)}`;
  if (effective === 0) {
    const text = `not proven: no fault took effect in ${plural(runs.length, 'run')}; raise --faults-per-run`;
    view.announce({ tone: 'warning', text });
    return 1;
  }
  view.announce({ tone: 'good', text: `same bits in ${plural(runs.length, 'run')}, ${took}` });
  return 0;
}

/** What differs between a run and the reference, and from which step on; null if nothing does. */
async function differenceOf(
  reference: RunBits,
  end: Extract<RunEnd, { status: 'done' }>,
  folders: readonly [string, string],
): Promise<string | null> {
  const names = differences(reference, end.bits);
  if (names.length === 0) return null;
  const [a, b] = folders.map((folder) => linesOf(receiptsPath(join(folder, 'run'))));
  const { difference } = await compareReceipts(a, b);
  const first =
    difference === null ? '' : `: ${describeDifference(difference, 'undisturbed', 'faulted').what}`;
  return `${names.join(', ')}${first}`;
}

async function* linesOf(file: string): AsyncGenerator<ReadLine['line']> {
  for await (const { line } of readReceipts(file)) yield line;
}

function notEvenAlone(why: string): LockstepError {
  return new LockstepError('BAD_OPTION', `the job does not even train undisturbed: ${why}`, {
    hint: 'See that `lockstep train` works with the same options first.',
  });
}

/** Options that go on to `lockstep train`. */
function trainingOptions(options: ChaosOptions): string[] {
  const { workers, data, threadsPerWorker, shards, epochs, batchSize } = options;
  return [
    ...['--workers', String(workers), '--threads-per-worker', String(threadsPerWorker)],
    ...(options.backend === 'auto' ? [] : ['--backend', options.backend]),
    ...(data === undefined ? [] : ['--data', resolve(data)]),
    ...(shards === undefined ? [] : ['--shards', String(shards)]),
    ...(epochs === undefined ? [] : ['--epochs', String(epochs)]),
    ...(batchSize === undefined ? [] : ['--batch-size', String(batchSize)]),
  ];
}

/** Options as they were given, for the command that replays a run. */
function chosenOptions(options: ChaosOptions): string[] {
  const { actions, faultsPerRun } = options;
  return [
    ...trainingOptions(options),
    ...(actions === undefined ? [] : ['--actions', actions.join()]),
    ...['--faults-per-run', String(faultsPerRun)],
  ];
}

function backendOf({ fingerprint }: RunBits, { backend }: ChaosOptions): string[] {
  return backend === 'auto' && fingerprint !== null ? ['--backend', fingerprint.backend] : [];
}
