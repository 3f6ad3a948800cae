import { type BackendChoice, satisfies } from '../../shared/backends.js';
import { invariant, LockstepError } from '../../shared/errors.js';
import { fingerprintSchema } from '../../shared/fingerprint.js';
import type { Json } from '../../shared/json.js';
import { manifestHash } from '../../shared/manifest-hash.js';
import type { ProgramSpec } from '../../shared/program.js';
import { RunningLogs, type RunningLogsState } from '../../shared/sums.js';
import { version } from '../../shared/version.js';
import type { CallbackList, CallbackStates } from '../callbacks/callback-list.js';
import { encodeExact } from '../checkpoint/exact-json.js';
import { stateSha256 } from '../checkpoint/hashes.js';
import type { RunState } from '../checkpoint/run-state.js';
import type { Snapshot } from '../checkpoint/snapshot.js';
import type { OptimizerConfig } from '../optimizer/optimizer.js';
import type { RunReference } from '../server/admission.js';
import { checkSettings } from './settings.js';
import type { Position, TrainingPlan } from './training-plan.js';

/** The parts of a run that a checkpoint is made of. */
export interface RunningState {
  readonly plan: TrainingPlan;
  readonly position: Position;
  readonly totals: RunningLogs;
  readonly callbacks: CallbackList;
}

const totalsTensor = 'epoch/sums';
const scoresTensor = (index: number): string => `epoch/scores/${index}`;

/** The open epoch's sums and the callbacks' tensors, by name. Copies. */
function tensorsOf(
  { totals }: RunningState,
  callbacks: CallbackStates,
): Record<string, Float32Array | Float64Array> {
  const { values, scores } = totals.saveState();
  const tensors: Record<string, Float32Array | Float64Array> = { [totalsTensor]: values };
  for (const [index, list] of scores.entries()) tensors[scoresTensor(index)] = list;
  for (const [name, tensor] of Object.entries(callbacks.tensors)) tensors[`callbacks/${name}`] = tensor;
  return tensors;
}

/** The open epoch's sums in a checkpoint. */
function totalsIn(tensors: Snapshot['tensors']): RunningLogsState {
  const scores: Float32Array[] = [];
  for (let list = tensors[scoresTensor(0)]; list !== undefined; list = tensors[scoresTensor(scores.length)]) {
    invariant(list instanceof Float32Array, 'scores are float32');
    scores.push(list);
  }
  const values = tensors[totalsTensor];
  invariant(values instanceof Float64Array, 'epoch sums are float64');
  return { values, scores };
}

/** An optimizer's configuration as plain data; a schedule is a function and stands by its name. */
export function plainConfig({ learningRate, ...config }: OptimizerConfig): Json {
  const rate = typeof learningRate === 'number' ? learningRate : { schedule: learningRate.name };
  return { ...config, learningRate: rate } as unknown as Json;
}

/** An immutable copy of what is committed. */
export function takeSnapshot(running: RunningState, reference: RunReference): Snapshot {
  const { fingerprint, canary, mixed } = reference;
  const { plan, position } = running;
  const callbacks = running.callbacks.saveState();
  const { program, state, source, shards, seed, runId, checkpoints } = plan;
  return {
    ...state.copy(),
    manifest: state.manifest,
    topology: program.topology,
    tensors: tensorsOf(running, callbacks),
    run: {
      ...position,
      skippedSteps: [...position.skippedSteps],
      receiptsChain: plan.receipts?.chain ?? null,
      runId,
      version,
      term: checkpoints?.term ?? 0,
      shards,
      seed,
      batchSize: source.batchSize,
      settings: plan.settings,
      optimizer: {
        config: plainConfig(state.optimizer.config),
        iteration: state.iteration,
        learningRate: state.fixedLearningRate,
      },
      backend: fingerprint?.backend ?? 'unknown',
      program: fingerprint?.program ?? 'unknown',
      fingerprint: fingerprint as unknown as Json,
      canary,
      mixed: [...mixed],
      manifestHash: manifestHash(state.manifest),
      callbacks: callbacks.values,
    },
  };
}

/** What a run was computed with, as a checkpoint says. */
export function referenceOf({ run }: Snapshot): RunReference {
  const fingerprint = fingerprintSchema.safeParse(run.fingerprint).data ?? null;
  return { fingerprint, canary: run.canary, mixed: run.mixed };
}

/** Puts a run back to where a checkpoint was taken. The plan was checked against it before. */
export function resumeFrom(snapshot: Snapshot, { plan, totals, callbacks }: RunningState): Position {
  const { run, flat, slots, tensors } = snapshot;
  const { iteration, learningRate } = run.optimizer;
  plan.state.restore({ flat, slots, iteration, learningRate });
  const callbackTensors: Record<string, Float32Array> = {};
  for (const [name, tensor] of Object.entries(tensors)) {
    if (!name.startsWith('callbacks/')) continue;
    invariant(tensor instanceof Float32Array, 'callback tensors are float32');
    callbackTensors[name.slice('callbacks/'.length)] = tensor;
  }
  // Between epochs there is nothing to go on with: the next one may measure something else.
  if (run.batch > 0) totals.loadState(totalsIn(tensors));
  callbacks.loadState({ values: run.callbacks, tensors: callbackTensors });
  const { step, epoch, batch, cursor, samplesSeen, stopped, skippedSteps } = run;
  return { step, epoch, batch, cursor, samplesSeen, stopped, skippedSteps };
}

/** The run's `stateSha256`. */
export function hashState(running: RunningState): string {
  const { plan, position } = running;
  const callbacks = running.callbacks.saveState();
  const { state } = plan;
  return stateSha256({
    manifest: state.manifest,
    flat: state.weights.flat,
    slots: state.optimizer.slots(),
    tensors: tensorsOf(running, callbacks),
    step: position.step,
    epoch: position.epoch,
    cursor: position.cursor,
    iteration: state.iteration,
    learningRate: state.fixedLearningRate,
    callbacks: callbacks.values,
  });
}

/**
 * What a resume may not change.
 * @throws LockstepError CHECKPOINT_MISMATCH naming the difference
 */
export function checkResumable(
  { run, tensors }: Snapshot,
  wanted: {
    manifestHash: string;
    program: ProgramSpec;
    shards: number | null;
    batchSize: number;
    seed: number;
    /** `auto` takes the run's. */
    backend: BackendChoice;
    optimizer: OptimizerConfig;
    settings: RunState['settings'];
  },
): void {
  const refuse = (message: string, hint: string): never => {
    throw new LockstepError('CHECKPOINT_MISMATCH', message, { hint });
  };
  if (run.manifestHash !== wanted.manifestHash) {
    refuse(
      'the checkpoint holds another model than the job builds',
      'Resume with the job that wrote it, or start in another folder.',
    );
  }
  if (wanted.shards !== null && wanted.shards !== run.shards) {
    refuse(
      `the run has ${run.shards} shards, not ${wanted.shards}`,
      `Leave --shards out: a resumed run keeps its own. The number of workers is free.`,
    );
  }
  if (wanted.batchSize !== run.batchSize) {
    refuse(
      `the run has batches of ${run.batchSize}, not ${wanted.batchSize}`,
      `Use --batch-size ${run.batchSize}, or start in another folder.`,
    );
  }
  if (wanted.seed !== run.seed) {
    refuse(
      `the run has seed ${run.seed}, not ${wanted.seed}`,
      'Leave --seed out: a resumed run keeps its own.',
    );
  }
  if (!satisfies(wanted.backend, run.backend)) {
    refuse(
      `the run computes on ${run.backend}, not ${wanted.backend}`,
      'Leave --backend out: a resumed run keeps its own, or its bits would be others.',
    );
  }
  checkSettings(run.settings, wanted.settings);
  if (run.batch > 0 && !new RunningLogs(wanted.program).fits(totalsIn(tensors))) {
    refuse(
      'the job has other outputs or metrics than the epoch that the checkpoint stands in',
      'Resume with the job that wrote it; metrics may change between two epochs.',
    );
  }
  // The exact encoding sorts keys, which a checkpoint does not keep in order.
  if (encodeExact(plainConfig(wanted.optimizer)) !== encodeExact(run.optimizer.config)) {
    refuse(
      'the job has another optimizer than the checkpoint',
      'Resume with the job that wrote it, or start in another folder.',
    );
  }
}
