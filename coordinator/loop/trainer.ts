import type { Digest } from '../../shared/digest.js';
import { invariant, LockstepError } from '../../shared/errors.js';
import type { ShardPartial } from '../../shared/partial.js';
import { RunningLogs } from '../../shared/sums.js';
import type { Logs, Training } from '../callbacks/callback.js';
import { CallbackList } from '../callbacks/callback-list.js';
import { History } from '../callbacks/history.js';
import type { Snapshot } from '../checkpoint/snapshot.js';
import type { Conductor } from '../conductor.js';
import { isAbandoned } from '../core/stop-error.js';
import type { StepFacts } from '../receipts/receipts.js';
import { auditedShards } from './audited-shards.js';
import { commitStep, recordStep, type StepResult } from './commit-step.js';
import { feed, type Turn } from './feed.js';
import { hashState, type RunningState, resumeFrom, takeSnapshot } from './run-snapshot.js';
import { withSkipped } from './skipped-steps.js';
import { partsOf, StepTimings } from './step-timings.js';
import { type StopRequest, trainingFor } from './training-handle.js';
import type { Position, TrainingPlan } from './training-plan.js';
import { validateEpoch } from './validate.js';

export interface TrainingOutcome {
  readonly cause: 'done' | 'stopped-early' | 'signal';
  readonly position: Position;
  readonly history: History;
  readonly timings: StepTimings;
  readonly seconds: number;
  /** Samples of the steps that this process committed. */
  readonly samplesTrained: number;
  readonly logs: Logs;
  readonly stateSha256: string;
  readonly receipts: { readonly file: string | null; readonly chain: Digest } | null;
}

/** Runs a plan: epochs, steps, validation, callbacks, checkpoints. */
export class Trainer {
  readonly #plan: TrainingPlan;
  readonly #conductor: Conductor;
  readonly #history = new History();
  readonly #callbacks: CallbackList;
  readonly #training: Training;
  readonly #timings = new StepTimings();
  #position: Position;
  #totals: RunningLogs;
  readonly #stop: StopRequest = { requested: false };
  #samplesTrained = 0;
  #logs: Logs = {};
  /**
   * Where the run stood before the callbacks were told of the end of an epoch, or of a step that is not finite. If one
   * of them throws, or that step ends the run, they have already counted it, and would do so again in a resume.
   */
  #beforeHooks: Snapshot | null = null;

  constructor(plan: TrainingPlan, conductor: Conductor) {
    this.#plan = plan;
    this.#conductor = conductor;
    this.#callbacks = new CallbackList([...plan.callbacks, this.#history]);
    this.#totals = new RunningLogs(plan.program);
    const { initialEpoch: epoch } = plan;
    this.#position = {
      step: 0,
      epoch,
      batch: 0,
      cursor: null,
      samplesSeen: 0,
      stopped: false,
      skippedSteps: [],
    };
    this.#training = trainingFor(plan, this.#stop, () => this.#position);
  }

  /**
   * @throws LockstepError NOT_FINITE, CALLBACK_FAILED, CHECKPOINT_MISMATCH, or what ended the workers' part, and what
   * was committed is saved first; CHECKPOINT_UNWRITABLE if the last checkpoint cannot be written
   */
  async run(): Promise<TrainingOutcome> {
    try {
      return await this.#run();
    } finally {
      await this.#plan.receipts?.close();
    }
  }

  async #run(): Promise<TrainingOutcome> {
    const startedMs = performance.now();
    const { resume, epochs, receipts } = this.#plan;
    await this.#callbacks.onTrainBegin(this.#training);
    if (resume !== null) this.#position = resumeFrom(resume, this.#running());
    receipts?.start(this.#position.step, this.#conductor.reference.fingerprint?.backend ?? 'unknown');
    let isDone = this.#position.stopped;
    try {
      while (!isDone && !this.#isInterrupted() && this.#position.epoch < epochs) isDone = await this.#epoch();
    } catch (error) {
      // The step that failed is not part of the run; what is committed can be resumed.
      if (this.#samplesTrained > 0) this.#plan.checkpoints?.save(this.#beforeHooks ?? this.#snapshot());
      // Only who was told to stop has been interrupted: a worker may report an error of any name.
      if (!isAbandoned(error) || this.#plan.signal?.aborted !== true) throw error;
    } finally {
      await this.#plan.checkpoints?.flush();
    }
    const isOver = isDone || this.#position.epoch >= epochs;
    const { version } = this.#plan.state.weights;
    await this.#callbacks.onTrainEnd(this.#logs, this.#training);
    this.#settle();
    // A callback may restore the best weights at the very end; a run that was interrupted goes on from the last ones.
    if (isOver && this.#plan.state.weights.version !== version) this.#save();
    await this.#plan.checkpoints?.complete();
    const isSignalled = !isOver && this.#plan.signal?.aborted === true;
    return {
      cause: isSignalled ? 'signal' : this.#position.stopped ? 'stopped-early' : 'done',
      position: this.#position,
      history: this.#history,
      timings: this.#timings,
      seconds: (performance.now() - startedMs) / 1_000,
      samplesTrained: this.#samplesTrained,
      logs: this.#logs,
      stateSha256: hashState(this.#running()),
      receipts: receipts === null ? null : { file: receipts.file, chain: receipts.chain },
    };
  }

  /** Trains the open epoch to its end. Gives whether a callback ended the training. */
  async #epoch(): Promise<boolean> {
    const { program, source, shards, seed, auditFraction, prepare, epochs, onEvent } = this.#plan;
    const { epoch, batch, cursor, step } = this.#position;
    const startedMs = performance.now();
    const samplesBefore = this.#samplesTrained;
    if (this.#position.batch === 0) {
      this.#totals = new RunningLogs(program);
      await this.#callbacks.onEpochBegin(epoch, this.#training);
    }
    onEvent({ type: 'epoch-begin', epoch, epochs, steps: source.stepsPerEpoch });
    const options = {
      kind: 'train' as const,
      batchSize: source.batchSize,
      shards,
      firstStep: step,
      digest: this.#plan.receipts?.recordShards ?? false,
      auditedShards: (at: number, present: number) =>
        auditedShards({ seed, fraction: auditFraction }, at, present),
      nameOf: (at: number) => `batch ${batch + at - step + 1} of epoch ${epoch + 1}`,
      prepare,
      signal: this.#plan.signal,
      onWaiting: (reason: string) => onEvent({ type: 'waiting', reason }),
    };
    for await (const turn of feed(this.#conductor, source.open(epoch, cursor), options)) {
      await this.#step(turn);
      if (this.#stop.requested) break;
      if (this.#isInterrupted()) break;
    }
    if (this.#isInterrupted()) {
      this.#save();
      return false;
    }
    if (this.#position.batch === 0 && !this.#stop.requested) {
      throw new LockstepError('DATA_EMPTY', `epoch ${epoch + 1} has no data`, {
        hint: 'A stream must give records each time it is opened.',
      });
    }
    const validated = await validateEpoch(epoch, {
      plan: this.#plan,
      conductor: this.#conductor,
      callbacks: this.#callbacks,
      training: this.#training,
      isInterrupted: () => this.#isInterrupted(),
    });
    if (validated === null) {
      this.#save();
      return false;
    }
    // Of an epoch whose every step was skipped there is no loss, and least of all one of 0.
    const ownLogs = this.#totals.rows === 0 ? { loss: Number.NaN } : this.#totals.logs();
    const logs = { ...ownLogs, ...validated };
    this.#settle();
    this.#logs = logs;
    this.#beforeHooks = this.#plan.checkpoints === null ? null : this.#snapshot();
    await this.#callbacks.onEpochEnd(epoch, logs, this.#training);
    this.#beforeHooks = null;
    this.#settle();
    const steps = this.#position.batch;
    this.#position = {
      ...this.#position,
      epoch: epoch + 1,
      batch: 0,
      cursor: null,
      stopped: this.#stop.requested,
    };
    this.#totals = new RunningLogs(program);
    const epochMs = performance.now() - startedMs;
    const samplesPerSecond = (this.#samplesTrained - samplesBefore) / (epochMs / 1_000);
    const workers = this.#conductor.readyCount;
    onEvent({ type: 'epoch-end', epoch, epochs, steps, logs, epochMs, samplesPerSecond, workers });
    this.#save();
    return this.#stop.requested;
  }

  async #step(turn: Turn): Promise<void> {
    const { onEvent, checkpoints, state } = this.#plan;
    const { epoch, batch } = this.#position;
    const { rows, cursor, samples } = turn.batch;
    const startedMs = performance.now();
    await this.#callbacks.onTrainBatchBegin(batch, this.#training);
    this.#settle();
    const outcome = await turn.run(state.weights);
    const updateMs = performance.now();
    invariant(outcome.sum !== null, 'a step without a sum');
    const { step } = this.#position;
    const facts = { step: step + 1, epoch, batch, samples, cursor, shards: outcome.digests };
    const result = commitStep(this.#plan, facts, outcome);
    const isCommitted = result.kind === 'committed';
    const { skippedSteps: before } = this.#position;
    const skippedSteps = isCommitted ? before : await this.#skip(outcome.sum, facts, result);
    if (skippedSteps === null) return;
    if (isCommitted) this.#totals.add(outcome.sum.sums, outcome.sum.scores, rows);
    const samplesSeen = this.#position.samplesSeen + rows;
    const place = { step: step + 1, batch: batch + 1, cursor, samplesSeen, skippedSteps };
    this.#position = { ...this.#position, ...place };
    this.#samplesTrained += rows;
    // A listener may throw, and what is saved then is saved as the step that the position says.
    recordStep(this.#plan, facts, result);
    const stepMs = performance.now() - startedMs + turn.dataMs;
    this.#timings.add(
      stepMs,
      partsOf(outcome, { dataMs: turn.dataMs, updateMs: performance.now() - updateMs }),
    );
    const logs = this.#totals.logs({ ranked: false });
    this.#logs = logs;
    if (isCommitted) await this.#callbacks.onTrainBatchEnd(batch, logs, this.#training);
    this.#settle();
    onEvent({
      type: 'step',
      epoch,
      batch,
      step: step + 1,
      rows,
      stepMs,
      logs,
      workers: this.#conductor.readyCount,
    });
    if (checkpoints?.due(step + 1)) this.#save();
  }

  /**
   * Tells the callbacks of a step that is not finite. Gives the steps skipped with it, or null if one of them ended
   * the training.
   * @throws LockstepError NOT_FINITE if the step may not be skipped
   */
  async #skip(
    { sums, scores }: ShardPartial,
    { step, batch, samples }: StepFacts,
    { error, loss }: StepResult & { kind: 'not-finite' },
  ): Promise<readonly number[] | null> {
    const logs = { ...this.#totals.logs({ ranked: false }), loss };
    this.#beforeHooks = this.#plan.checkpoints === null ? null : this.#snapshot();
    await this.#callbacks.onTrainBatchEnd(batch, logs, this.#training);
    if (this.#stop.requested) {
      this.#beforeHooks = null;
      // As in Keras, the epoch that ends here shows what ended it; no best model comes of it.
      this.#totals.add(sums, scores, samples.length);
      return null;
    }
    const skippedSteps = withSkipped(this.#position.skippedSteps, step, this.#plan.onNonFinite, error);
    this.#beforeHooks = null;
    return skippedSteps;
  }

  /** Whether to end before the epoch does. What a callback has ended is brought to its end. */
  #isInterrupted(): boolean {
    const { signal, maxSteps } = this.#plan;
    if (this.#stop.requested) return false;
    return signal?.aborted === true || (maxSteps !== null && this.#position.step >= maxSteps);
  }

  /** Has the receipts tell of weights that callbacks have set. */
  #settle(): void {
    this.#plan.receipts?.settle(this.#position.step);
  }

  #save(): void {
    this.#plan.checkpoints?.save(this.#snapshot());
  }

  #snapshot(): Snapshot {
    this.#settle();
    return takeSnapshot(this.#running(), this.#conductor.reference);
  }

  #running(): RunningState {
    return { plan: this.#plan, position: this.#position, totals: this.#totals, callbacks: this.#callbacks };
  }
}
