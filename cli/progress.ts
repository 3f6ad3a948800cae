import type { Logs } from '../coordinator/callbacks/callback.js';
import type { RunEvent } from '../coordinator/events.js';
import { duration, metric, milliseconds, plural, rate } from './format.js';

/** What the line that is redrawn shows. A pure function of the run's events and the clock. */
export interface Progress {
  readonly workers: number;
  /** The epoch under way. */
  readonly epoch: EpochProgress | null;
  /** Why nothing moves, while nothing moves. */
  readonly waiting: string | null;
}

interface EpochProgress {
  readonly steps: number | null;
  readonly beganMs: number;
  /** Batches of the epoch that are done: those before a resume too. */
  readonly batches: number;
  /** Of this process: what rates are computed from. */
  readonly ownSteps: number;
  readonly ownRows: number;
  readonly trainedMs: number;
  readonly logs: Logs;
  readonly validation: { readonly batch: number; readonly batches: number | null } | null;
}

export const noProgress: Progress = { workers: 0, epoch: null, waiting: null };

/** The progress after an event. @param nowMs of a clock that only moves forward */
export function advance(progress: Progress, event: RunEvent, nowMs: number): Progress {
  switch (event.type) {
    case 'workers':
      return { ...progress, workers: event.workers.length };
    case 'waiting':
      return { ...progress, waiting: event.reason };
    case 'epoch-begin': {
      const epoch: EpochProgress = {
        steps: event.steps,
        beganMs: nowMs,
        batches: 0,
        ownSteps: 0,
        ownRows: 0,
        trainedMs: 0,
        logs: {},
        validation: null,
      };
      return { ...progress, epoch, waiting: null };
    }
    case 'step': {
      const { epoch } = progress;
      if (epoch === null) return progress;
      const next: EpochProgress = {
        ...epoch,
        batches: event.batch + 1,
        ownSteps: epoch.ownSteps + 1,
        ownRows: epoch.ownRows + event.rows,
        trainedMs: nowMs - epoch.beganMs,
        logs: event.logs,
        validation: null,
      };
      return { workers: event.workers, epoch: next, waiting: null };
    }
    case 'test-batch': {
      const { epoch } = progress;
      if (epoch === null) return progress;
      const validation = { batch: event.batch + 1, batches: event.batches };
      return { ...progress, epoch: { ...epoch, validation }, waiting: null };
    }
    case 'epoch-end':
    case 'end':
      return { ...progress, epoch: null, waiting: null };
    default:
      return progress;
  }
}

const barWidths = [20, 10, 0];

/** The line to redraw, at most `columns` wide; empty while there is nothing to show. */
export function progressLine(progress: Progress, nowMs: number, columns: number): string {
  const { epoch, waiting, workers } = progress;
  if (waiting !== null) return cut(`waiting: ${waiting}`, columns);
  if (epoch === null) return '';
  const facts = [
    ...pace(epoch, nowMs - epoch.beganMs),
    ...metricsOf(epoch.logs),
    plural(workers, 'worker'),
    ...outlook(epoch),
  ];
  for (const width of barWidths) {
    const line = `${position(epoch.batches, epoch.steps, width)} ${facts.join(' · ')}`;
    if (line.length <= columns) return line;
  }
  return cut(`${position(epoch.batches, epoch.steps, 0)} ${facts.join(' · ')}`, columns);
}

/** The line that stays when an epoch has ended. */
export function epochLine(before: Progress, event: RunEvent & { type: 'epoch-end' }): string {
  const { epoch } = before;
  const steps = epoch?.batches || event.steps;
  const stepMs = epoch && epoch.ownSteps > 0 ? epoch.trainedMs / epoch.ownSteps : event.epochMs / event.steps;
  const facts = [
    duration(event.epochMs),
    `${milliseconds(stepMs)}/step`,
    `${rate(event.samplesPerSecond)} samples/s`,
    ...metricsOf(event.logs),
    plural(event.workers, 'worker'),
  ];
  return `${position(steps, steps, barWidths[0])} ${facts.join(' · ')}`;
}

function pace(epoch: EpochProgress, elapsedMs: number): string[] {
  if (epoch.ownSteps === 0 || epoch.trainedMs <= 0) return [duration(elapsedMs)];
  return [
    duration(elapsedMs),
    `${milliseconds(epoch.trainedMs / epoch.ownSteps)}/step`,
    `${rate((epoch.ownRows * 1000) / epoch.trainedMs)} samples/s`,
  ];
}

function outlook({ validation, steps, batches, ownSteps, trainedMs }: EpochProgress): string[] {
  if (validation !== null) {
    const { batch } = validation;
    return [`validating ${validation.batches === null ? batch : `${batch}/${validation.batches}`}`];
  }
  if (steps === null || ownSteps === 0) return [];
  return [`ETA ${duration((steps - batches) * (trainedMs / ownSteps))}`];
}

function position(done: number, steps: number | null, barWidth: number): string {
  if (steps === null) return plural(done, 'step');
  const counter = `${String(done).padStart(String(steps).length)}/${steps}`;
  if (barWidth === 0) return counter;
  const filled = steps === 0 ? barWidth : Math.floor((barWidth * done) / steps);
  return `${counter} ${'━'.repeat(filled)}${'─'.repeat(barWidth - filled)}`;
}

export function metricsOf(logs: Logs): string[] {
  return Object.entries(logs).map(([name, value]) => `${name} ${metric(value)}`);
}

function cut(line: string, columns: number): string {
  return line.length <= columns ? line : `${line.slice(0, Math.max(0, columns - 1))}…`;
}
