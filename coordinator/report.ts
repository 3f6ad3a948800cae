import type { InjectionReport } from '../chaos/injection.js';
import type { Fingerprint } from '../shared/fingerprint.js';
import { version } from '../shared/version.js';
import { weightsSha256 } from './checkpoint/hashes.js';
import type { Conductor } from './conductor.js';
import type { ExcludedWorker } from './fault-counts.js';
import type { StepSummary } from './loop/step-timings.js';
import type { TrainingOutcome } from './loop/trainer.js';
import type { TrainingPlan } from './loop/training-plan.js';

/** What a worker did. */
export interface ReportedWorker {
  readonly worker: number;
  readonly host: string;
  readonly pid: number;
  readonly backend: string;
  readonly device: string | null;
  readonly threads: number;
  readonly shardsComputed: number;
  readonly computeSeconds: number;
  /** It had shards to compute and waited for orders and data, or they for the network. */
  readonly networkSeconds: number;
  readonly idleSeconds: number;
  /** Why it left before the end, or null. */
  readonly lost: string | null;
}

/** What `--report` writes: plain JSON. */
export interface RunReport {
  readonly runId: string;
  readonly cause: TrainingOutcome['cause'];
  /** sha256 over the little-endian float32 bytes of `model.getWeights()` in order. */
  readonly weightsSha256: string;
  /** Of weights, optimizer slots, callback state, open sums and cursor; docs/determinism.md has the encoding. */
  readonly stateSha256: string;
  readonly seed: number;
  readonly shards: number;
  readonly batchSize: number;
  /** Steps and epochs of the whole run, earlier starts included. */
  readonly steps: number;
  readonly epochs: number;
  readonly samplesSeen: number;
  /** Of this start alone, like the counts and times below. */
  readonly resumedAtStep: number | null;
  readonly shardsComputed: number;
  /**
   * Shards ordered again because those who held them were lost or excluded. `shardsComputed` is at most the present
   * shards of all rounds plus this and the next two.
   */
  readonly shardsRecomputed: number;
  /** Shards ordered from another worker as well because whoever had them took too long. */
  readonly shardsDuplicated: number;
  /** Shards ordered once more so that the results are compared. */
  readonly shardsAudited: number;
  /** Units for which two workers gave other bits. */
  readonly disagreements: number;
  /** Workers that computed wrong numbers. */
  readonly workersExcluded: number;
  /** The last hundred of them, and where they were found out; steps count from 1. */
  readonly excluded: readonly ExcludedWorker[];
  readonly samplesPerSecond: number;
  /** Milliseconds per step. */
  readonly stepMs: StepSummary;
  readonly history: Readonly<Record<string, readonly number[]>>;
  /** Those that are here at the end, and the last thousand that left; `faults` lists why they did. */
  readonly workers: readonly ReportedWorker[];
  readonly faults: readonly { readonly worker: number; readonly reason: string }[];
  /** Under a fault plan: what became of each fault. */
  readonly injectedFaults?: InjectionReport['injectedFaults'];
  /** Under a fault plan: shards of training that local workers began in this start, those that died included. */
  readonly shardsBegun?: number;
  readonly checkpoint: string | null;
  /** Steps of the whole run that were not finite and skipped, counted from 1. */
  readonly skippedSteps: readonly number[];
  /** The chain stands for all that the run did; null without a run folder. */
  readonly receipts: TrainingOutcome['receipts'];
  readonly fingerprint: Fingerprint | null;
  /** Whether who trains the job again on workers of this fingerprint gets the same bits. */
  readonly bitReproducible: boolean;
  /** Why not: how workers that were admitted with --allow-mixed differ. */
  readonly mixed: readonly string[];
  readonly version: string;
}

/** The report of a run that has ended. */
export function reportOf(plan: TrainingPlan, outcome: TrainingOutcome, conductor: Conductor): RunReport {
  const { state, seed, shards, source, runId, checkpoints, resume } = plan;
  const { position, seconds, samplesTrained, timings, history } = outcome;
  const tallies = conductor.tallies();
  const { counts } = conductor;
  return {
    runId,
    cause: outcome.cause,
    weightsSha256: weightsSha256(state.manifest, state.weights.flat),
    stateSha256: outcome.stateSha256,
    seed,
    shards,
    batchSize: source.batchSize,
    steps: position.step,
    epochs: position.epoch,
    samplesSeen: position.samplesSeen,
    resumedAtStep: resume?.run.step ?? null,
    shardsComputed: conductor.shardsComputed,
    shardsRecomputed: counts.recomputed,
    shardsDuplicated: counts.duplicated,
    shardsAudited: counts.audited,
    disagreements: counts.disagreements,
    workersExcluded: counts.workersExcluded,
    excluded: counts.excluded.map(({ step, ...rest }) => ({ ...rest, step: step + 1 })),
    samplesPerSecond: seconds === 0 ? 0 : samplesTrained / seconds,
    stepMs: timings.summary(),
    history: history.history,
    workers: tallies.map(({ row, shardsComputed, hours, lost }) => ({
      ...row,
      shardsComputed,
      computeSeconds: hours.computeMs / 1_000,
      networkSeconds: hours.networkMs / 1_000,
      idleSeconds: hours.idleMs / 1_000,
      lost,
    })),
    faults: tallies.flatMap(({ row, lost }) => (lost === null ? [] : [{ worker: row.worker, reason: lost }])),
    checkpoint: checkpoints?.lastPath ?? null,
    skippedSteps: position.skippedSteps,
    receipts: outcome.receipts,
    fingerprint: conductor.reference.fingerprint,
    bitReproducible: conductor.reference.mixed.length === 0,
    mixed: conductor.reference.mixed,
    version,
  };
}
