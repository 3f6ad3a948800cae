import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { z } from 'zod';
import { type RunBits, runBits } from './campaign.js';
import { type InjectedFault, Ledger } from './ledger.js';
import type { FaultPlan } from './plan.js';

export interface RunProcessOptions {
  /** The program, then its arguments: a training command without checkpoint, report and fault options. */
  readonly command: readonly string[];
  /** For the run's files; made if it is not there. */
  readonly folder: string;
  /** For its temporary files: a process that is killed cannot remove its own. */
  readonly temporary: string;
  /** Null for an undisturbed run. */
  readonly plan: FaultPlan | null;
  /** When aborted, the run is ended. */
  readonly signal: AbortSignal;
  /** Called each time the coordinator is started again. */
  readonly onRestart?: () => void;
}

export type RunEnd =
  | {
      readonly status: 'done';
      readonly bits: RunBits;
      readonly report: Readonly<Record<string, unknown>>;
      readonly faults: readonly InjectedFault[];
      readonly restarts: number;
      /** Coordinators that were killed while a checkpoint was half written. */
      readonly tornCheckpoints: number;
    }
  | { readonly status: 'failed'; readonly why: string; readonly faults: readonly InjectedFault[] }
  | { readonly status: 'aborted' };

/** So many bytes of what a run writes are kept, to say why it failed. */
const keptOutput = 4_000;
/** How long the processes of a run may take to end after their coordinator. */
const goneMs = 15_000;
const maxRestarts = 100;

/**
 * Runs a training command as a process with a process group of its own, and starts it again with `--resume` each time
 * its plan has killed it. Ends with no process of it left.
 */
export async function runProcess(options: RunProcessOptions): Promise<RunEnd> {
  const { folder, plan, signal } = options;
  const saved = join(folder, 'run');
  const report = join(folder, 'report.json');
  const ledger = join(folder, 'faults.jsonl');
  const planFile = join(folder, 'plan.json');
  await mkdir(folder, { recursive: true });
  if (plan !== null) await writeFile(planFile, JSON.stringify({ ...plan, ledger }));
  const faultsNow = (): readonly InjectedFault[] => (plan === null ? [] : new Ledger(ledger).entries);
  let tornCheckpoints = 0;
  for (let restarts = 0; ; restarts++) {
    const killedBefore = coordinatorKills(faultsNow());
    const names = await readdir(saved).catch(() => []);
    const resume = names.some((name) => name.startsWith('checkpoint-')) ? ['--resume'] : [];
    const more = ['--checkpoint-dir', saved, '--report', report, ...resume];
    const faulty = plan === null ? [] : ['--faults', planFile];
    const ended = await runOnce([...options.command, ...more, ...faulty], options.temporary, signal);
    if (signal.aborted) return { status: 'aborted' };
    const faults = faultsNow();
    if (ended.left) return { status: 'failed', why: 'it left processes behind', faults };
    if (ended.signal === 'SIGKILL' && coordinatorKills(faults) > killedBefore && restarts < maxRestarts) {
      const torn = (await readdir(saved).catch(() => [])).some((name) => name.startsWith('.unfinished-'));
      tornCheckpoints += torn ? 1 : 0;
      options.onRestart?.();
      continue;
    }
    if (ended.exitCode !== 0) {
      const how = ended.signal === null ? `exit code ${ended.exitCode}` : ended.signal;
      return { status: 'failed', why: `it ended with ${how}: ${ended.output}`, faults };
    }
    const text: unknown = JSON.parse(await readFile(report, 'utf8'));
    const bits = runBits.parse(text);
    const whole = z.record(z.string(), z.unknown()).parse(text);
    return { status: 'done', bits, report: whole, faults, restarts, tornCheckpoints };
  }
}

const coordinatorKills = (faults: readonly InjectedFault[]): number =>
  faults.filter((fault) => fault.do === 'kill-coordinator').length;

interface Ended {
  readonly exitCode: number | null;
  readonly signal: NodeJS.Signals | null;
  /** The end of what it wrote. */
  readonly output: string;
  /** Whether a process of its group had to be killed. */
  readonly left: boolean;
}

async function runOnce(command: readonly string[], temporary: string, signal: AbortSignal): Promise<Ended> {
  const child = spawn(process.execPath, command, {
    // Of a group of its own, so that all its processes can be found again when it has been killed.
    detached: true,
    stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
    env: { ...process.env, TMPDIR: temporary },
  });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream?.on('data', (bytes: Buffer) => {
      output = (output + String(bytes)).slice(-keptOutput);
    });
  }
  const closed = once(child, 'close') as Promise<[number | null, NodeJS.Signals | null]>;
  const abort = (): void => {
    child.kill('SIGTERM');
  };
  signal.addEventListener('abort', abort, { once: true });
  if (signal.aborted) abort();
  try {
    const exited = once(child, 'exit');
    await exited;
    const group = child.pid ?? 0;
    // A worker that was stopped when its coordinator was killed does not see that it is alone until it goes on.
    signalGroup(group, 'SIGCONT');
    const left = !(await isGone(group));
    if (left) signalGroup(group, 'SIGKILL');
    const [exitCode, by] = await closed;
    return { exitCode, signal: by, output: output.trim(), left };
  } finally {
    signal.removeEventListener('abort', abort);
  }
}

/** Gives whether there was a process. */
function signalGroup(group: number, name: NodeJS.Signals | 0): boolean {
  try {
    return process.kill(-group, name);
  } catch {
    return false;
  }
}

async function isGone(group: number): Promise<boolean> {
  const deadlineMs = performance.now() + goneMs;
  while (signalGroup(group, 0)) {
    if (performance.now() > deadlineMs) return false;
    await sleep(20);
  }
  return true;
}
