import { join } from 'node:path';
import type { RunEvent, WorkerRow } from '../coordinator/events.js';
import { count, duration, plural, shellQuoted, table } from './format.js';
import { epochLine, metricsOf, type Progress } from './progress.js';

/** A line that stays on the terminal. */
export interface Announcement {
  readonly tone: 'plain' | 'heading' | 'dim' | 'good' | 'warning';
  readonly text: string;
  /** The same as data, for a log. */
  readonly fields?: Readonly<Record<string, unknown>>;
}

/** What of the command line belongs into the line that runs it again. */
export interface Invocation {
  readonly job: string;
  /** Options with their values, besides those that the run itself knows better. */
  readonly options: readonly string[];
}

/** What the run decided, and the bits depend on. */
export interface Decided {
  readonly seed: number;
  readonly shards: number;
  /** Null if no worker has said. */
  readonly backend: string | null;
}

/** The command that gives the same bits again, on any number of workers. */
export function reproduction({ job, options }: Invocation, { seed, shards, backend }: Decided): string {
  const decided = ['--seed', String(seed), '--shards', String(shards)];
  if (backend !== null) decided.push('--backend', backend);
  return ['lockstep', 'train', job, ...decided, ...options].map(shellQuoted).join(' ');
}

/**
 * The lines an event leaves on the terminal.
 * @param before the progress before this event
 * @param again the command that repeats the run, once it is known
 */
export function announcementsOf(event: RunEvent, before: Progress, again: string | null): Announcement[] {
  switch (event.type) {
    case 'start':
      return startLines(event, again);
    case 'workers':
      return workerTable(event.workers).map((text, row) => ({ tone: row === 0 ? 'heading' : 'plain', text }));
    case 'worker-joined': {
      const { worker, host, pid, backend } = event.worker;
      // The table of workers is still to come.
      if (before.workers === 0) return [];
      return [{ tone: 'dim', text: `worker ${worker} joined: ${backend} on ${host}, pid ${pid}` }];
    }
    case 'worker-lost':
      return [{ tone: 'warning', text: `worker ${event.worker} lost: ${event.reason}` }];
    case 'notice':
      return [{ tone: 'plain', text: event.message }];
    case 'warning':
      return [{ tone: 'warning', text: `warning: ${event.message}` }];
    case 'epoch-begin':
      return [{ tone: 'heading', text: `Epoch ${event.epoch + 1}/${event.epochs}` }];
    case 'epoch-end':
      return [{ tone: 'plain', text: epochLine(before, event) }];
    case 'checkpoint':
      return [{ tone: 'dim', text: `checkpoint of step ${event.step}: ${event.path}` }];
    case 'stopping':
      return [{ tone: 'plain', text: `stopping: ${event.reason}` }];
    case 'end':
      return endLines(event, again);
    default:
      return [];
  }
}

function startLines(event: RunEvent & { type: 'start' }, again: string | null): Announcement[] {
  const perEpoch = event.stepsPerEpoch === null ? '' : ` of ${plural(event.stepsPerEpoch, 'step')}`;
  const facts = [
    `run ${event.runId}`,
    plural(event.parameters, 'parameter'),
    ...(event.samples === null ? [] : [plural(event.samples, 'sample')]),
    `batch ${count(event.batchSize)} in ${plural(event.shards, 'shard')}`,
    `${plural(event.epochs, 'epoch')}${perEpoch}`,
    `seed ${event.seed}`,
  ];
  const lines: Announcement[] = [{ tone: 'heading', text: facts.join(' · ') }];
  if (again !== null) lines.push({ tone: 'dim', text: `same bits again: ${again}` });
  if (event.resumedAtStep !== null) {
    lines.push({ tone: 'plain', text: `resumed after step ${count(event.resumedAtStep)}` });
  }
  return lines;
}

function workerTable(workers: readonly WorkerRow[]): string[] {
  const rows = workers.map(({ worker, host, pid, backend, device, threads }) => [
    String(worker),
    host,
    String(pid),
    backend,
    String(threads),
    device ?? '-',
  ]);
  return table([['worker', 'host', 'pid', 'backend', 'threads', 'device'], ...rows]);
}

const endings = { done: 'Done', 'stopped-early': 'Stopped early', signal: 'Interrupted' } as const;

function endLines(event: RunEvent & { type: 'end' }, again: string | null): Announcement[] {
  const reached = `${plural(event.epochs, 'epoch')}, ${plural(event.step, 'step')}, ${duration(event.seconds * 1000)}`;
  const rows = [['weights', `sha256 ${event.weightsSha256.slice(0, 16)}…`]];
  if (event.checkpoint === null) rows.push(['model', 'not saved; --checkpoint-dir DIR saves it']);
  else {
    rows.push(
      ['model', `${join(event.checkpoint, 'model.json')} (tf.loadLayersModel reads it)`],
      ['checkpoint', event.checkpoint],
    );
  }
  // An interrupted run is a part of what its command gives.
  if (event.mixed.length > 0) rows.push(['not bit-reproducible', event.mixed.join('; ')]);
  else if (event.cause !== 'signal' && again !== null) rows.push(['same bits', again]);
  if (event.cause === 'signal' && event.checkpoint !== null) {
    rows.push(['to go on', 'the same command with --resume']);
  }
  return [
    { tone: 'good', text: [`${endings[event.cause]}: ${reached}`, ...metricsOf(event.logs)].join(' · ') },
    ...table(rows).map((text): Announcement => ({ tone: 'plain', text: `  ${text}` })),
  ];
}
