import { isOpen } from '../../shared/backends.js';
import { manifestHash } from '../../shared/manifest-hash.js';
import type { ProgramSpec } from '../../shared/program.js';
import { programSpec } from '../../shared/protocol/to-worker.js';
import { layoutOf } from '../../shared/sums.js';
import { weightsSha256 } from '../checkpoint/hashes.js';
import type { ClusterAccess } from '../cluster.js';
import type { Conductor } from '../conductor.js';
import type { ProgramSetup } from '../round.js';
import type { RunReference } from '../server/admission.js';
import type { CanonicalModel } from './canonical-model.js';
import { referenceOf } from './run-snapshot.js';
import { Trainer, type TrainingOutcome } from './trainer.js';
import type { TrainingPlan } from './training-plan.js';

/** Workers say that they are alive this often; the conductor's limits are many times as long. */
const heartbeatMs = 1_000;

/** What training asks of workers beside the program. */
export interface TrainingDemand {
  /** Rows of a shard, c: of the canary shard as well. */
  readonly shardRows: number;
  /** What a run that is resumed was computed with: `auto` takes its backend. Null for one that begins. */
  readonly reference: RunReference | null;
}

/**
 * Sends the program to the workers and waits until enough of them have built it.
 * @param demand null where nothing is trained
 */
export async function prepareWorkers(
  access: ClusterAccess,
  canonical: CanonicalModel,
  program: ProgramSpec,
  demand: TrainingDemand | null = null,
): Promise<void> {
  access.conductor.prepare(setupOf(access, canonical, program, demand));
  await access.conductor.ready(access.workers, access.joinTimeoutMs);
}

/** What workers are sent to build, and what their results must look like. */
function setupOf(
  { options }: ClusterAccess,
  { manifest, outputElements }: CanonicalModel,
  program: ProgramSpec,
  demand: TrainingDemand | null,
): ProgramSetup {
  const { threadsPerWorker = 1, job } = options;
  const asked = options.backend ?? 'auto';
  const reference = demand?.reference ?? null;
  const backend = isOpen(asked) ? (reference?.fingerprint?.backend ?? asked) : asked;
  const { length, scores } = layoutOf(program);
  return {
    message: {
      program: programSpec.parse(program),
      manifestHash: manifestHash(manifest),
      backend,
      threads: threadsPerWorker,
      jobSha256: job?.hasCode === true ? job.sha256 : null,
      heartbeatMs,
      canary: demand === null ? null : { rows: demand.shardRows },
    },
    reference,
    resultShape: {
      trainableSize: manifest.trainableSize,
      variables: manifest.weights.filter(({ trainable }) => trainable).length,
      sums: length,
      scores,
      channels: manifest.batchNorms.map(({ channels }) => channels),
      outputs: program.outputs.length,
      outputElements,
    },
  };
}

/**
 * Gives up the step in flight when it has not ended `graceMs` after the signal; the trainer then saves what is
 * committed. Returns what ends the watch.
 */
function watchGrace(conductor: Conductor, signal: AbortSignal | null, graceMs: number): () => void {
  let cancel = (): void => {};
  const onAbort = (): void => {
    cancel = conductor.clock.after(graceMs, () =>
      conductor.stop({
        code: 'INTERRUPTED',
        message: `the step in flight did not end within ${graceMs / 1_000} s of the signal`,
        hint: 'What was committed before it is saved, if there is a checkpoint folder; resume from there.',
      }),
    );
  };
  signal?.addEventListener('abort', onAbort);
  if (signal?.aborted) onAbort();
  return () => {
    cancel();
    signal?.removeEventListener('abort', onAbort);
  };
}

/** Waits for `work`, but no longer once the signal is aborted. Gives whether the work was done. */
async function unlessAborted(signal: AbortSignal | null, work: Promise<void>): Promise<boolean> {
  let giveUp = (): void => {};
  const aborted = new Promise<false>((resolve) => {
    giveUp = () => resolve(false);
    signal?.addEventListener('abort', giveUp);
    if (signal?.aborted) giveUp();
  });
  try {
    return await Promise.race([work.then(() => true), aborted]);
  } finally {
    signal?.removeEventListener('abort', giveUp);
  }
}

/** Carries out a plan on the cluster's workers, and says what happens. */
export async function runPlan(
  access: ClusterAccess,
  canonical: CanonicalModel,
  plan: TrainingPlan,
): Promise<TrainingOutcome> {
  const { conductor, emit } = access;
  const demand = {
    shardRows: Math.ceil(plan.source.batchSize / plan.shards),
    reference: plan.resume === null ? null : referenceOf(plan.resume),
  };
  const isReady = await unlessAborted(plan.signal, prepareWorkers(access, canonical, plan.program, demand));
  // Nothing begins: there is no start and no end to tell of.
  if (!isReady) return new Trainer(plan, conductor).run();
  const here = conductor.tallies().filter(({ lost }) => lost === null);
  emit({ type: 'workers', workers: here.map(({ row }) => row) });
  const { runId, seed, shards, epochs, source, samples, state, resume } = plan;
  emit({
    type: 'start',
    runId,
    seed,
    shards,
    epochs,
    batchSize: source.batchSize,
    samples,
    stepsPerEpoch: source.stepsPerEpoch,
    parameters: state.manifest.trainableSize,
    resumedAtStep: resume?.run.step ?? null,
  });
  const endWatch = watchGrace(conductor, plan.signal, plan.graceMs);
  const outcome = await new Trainer(plan, conductor).run().finally(endWatch);
  emit({
    type: 'end',
    cause: outcome.cause,
    step: outcome.position.step,
    epochs: outcome.position.epoch,
    seconds: outcome.seconds,
    logs: outcome.logs,
    weightsSha256: weightsSha256(state.manifest, state.weights.flat),
    checkpoint: plan.checkpoints?.lastPath ?? null,
    mixed: conductor.reference.mixed,
  });
  return outcome;
}
