import { invariant, LockstepError } from '../../shared/errors.js';
import type { ShardPartial } from '../../shared/partial.js';
import { RunningLogs } from '../../shared/sums.js';
import type { Logs, Training } from '../callbacks/callback.js';
import { CallbackList } from '../callbacks/callback-list.js';
import { History } from '../callbacks/history.js';
import type { Snapshot } from '../checkpoint/snapshot.js';
import type { Conductor } from '../conductor.js';
import { auditedShards } from './audited-shards.js';
import { commitStep, type StepResult } from './commit-step.js';
import { evaluateSource } from './evaluate.js';
import { feed, type Turn } from './feed.js';
import { hashState, type RunningState, resumeFrom, takeSnapshot } from './run-snapshot.js';
import { StepTimings } from './step-timings.js';
import { type StopRequest, trainingFor } from './training-handle.js';
import type { Position, TrainingPlan } from './training-plan.js';

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
   * Where the run stood before the callbacks were told of the end of an epoch. If one of them throws, others have
   * already counted the epoch, and would do so again in a resume.
   */
  #beforeHooks: Snapshot | null = null;

  constructor(plan: TrainingPlan, conductor: Conductor) {
    this.#plan = plan;
    this.#conductor = conductor;
    this.#callbacks = new CallbackList([...plan.callbacks, this.#history]);
    this.#totals = new RunningLogs(plan.program);
    const { initialEpoch: epoch } = plan;
    this.#position = { step: 0, epoch, batch: 0, cursor: null, samplesSeen: 0, stopped: false };
    this.#training = trainingFor(plan, this.#stop, () => this.#position);
  }

  /**
   * @throws LockstepError NOT_FINITE, CALLBACK_FAILED, CHECKPOINT_MISMATCH, or what ended the workers' part, and what
   * was committed is saved first; CHECKPOINT_UNWRITABLE if the last checkpoint cannot be written
   */
  async run(): Promise<TrainingOutcome> {
    const startedMs = performance.now();
    const { resume, epochs } = this.#plan;
    await this.#callbacks.onTrainBegin(this.#training);
    if (resume !== null) this.#position = resumeFrom(resume, this.#running());
    let isDone = this.#position.stopped;
    try {
      while (!isDone && !this.#isInterrupted() && this.#position.epoch < epochs) isDone = await this.#epoch();
    } catch (error) {
      // The step that failed is not part of the run; what is committed can be resumed.
      if (this.#samplesTrained > 0) this.#plan.checkpoints?.save(this.#beforeHooks ?? this.#snapshot());
      throw error;
    } finally {
      await this.#plan.checkpoints?.flush();
    }
    const isOver = isDone || this.#position.epoch >= epochs;
    const { version } = this.#plan.state.weights;
    await this.#callbacks.onTrainEnd(this.#logs, this.#training);
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
    };
  }

  /** Trains the open epoch to its end. Gives whether a callback ended the training. */
  async #epoch(): Promise<boolean> {
    const { program, source, shards, seed, auditFraction, prepare, epochs, onEvent } = this.#plan;
    const { epoch, cursor, step } = this.#position;
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
      digest: this.#plan.onStep !== null,
      auditedShards: (at: number, present: number) =>
        auditedShards({ seed, fraction: auditFraction }, at, present),
      prepare,
    };
    for await (const turn of feed(this.#conductor, source.open(epoch, cursor), options)) {
      await this.#step(turn);
      if (this.#stop.requested) break;
      if (this.#isInterrupted()) {
        this.#save();
        return false;
      }
    }
    if (this.#position.batch === 0 && !this.#stop.requested) {
      throw new LockstepError('DATA_EMPTY', `epoch ${epoch + 1} has no data`, {
        hint: 'A stream must give records each time it is opened.',
      });
    }
    const validated = await this.#validate(epoch);
    if (validated === null) {
      this.#save();
      return false;
    }
    const logs = { ...this.#totals.logs(), ...validated };
    this.#logs = logs;
    this.#beforeHooks = this.#plan.checkpoints === null ? null : this.#snapshot();
    await this.#callbacks.onEpochEnd(epoch, logs, this.#training);
    this.#beforeHooks = null;
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
    const { rows, cursor } = turn.batch;
    const startedMs = performance.now();
    await this.#callbacks.onTrainBatchBegin(batch, this.#training);
    const outcome = await turn.run(state.weights);
    const updateMs = performance.now();
    invariant(outcome.sum !== null, 'a step without a sum');
    const result = commitStep(this.#plan, this.#position, outcome);
    if (result.kind === 'not-finite') return this.#refuse(outcome.sum, rows, result);
    this.#totals.add(outcome.sum.sums, outcome.sum.scores, rows);
    const { step, samplesSeen } = this.#position;
    this.#position = {
      ...this.#position,
      step: step + 1,
      batch: batch + 1,
      cursor,
      samplesSeen: samplesSeen + rows,
    };
    this.#samplesTrained += rows;
    const { broadcastMs, computeMs, reduceMs, roundMs } = outcome;
    const stepMs = performance.now() - startedMs + turn.dataMs;
    this.#timings.add(stepMs, {
      data: turn.dataMs,
      broadcast: broadcastMs,
      compute: computeMs,
      upload: Math.max(0, roundMs - computeMs - broadcastMs - reduceMs),
      reduce: reduceMs,
      update: performance.now() - updateMs,
    });
    const logs = this.#totals.logs({ ranked: false });
    this.#logs = logs;
    await this.#callbacks.onTrainBatchEnd(batch, logs, this.#training);
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

  /** Tells the callbacks of a step that is not finite, and fails unless one of them ends the training. */
  async #refuse(
    sum: ShardPartial,
    rows: number,
    { error, loss }: StepResult & { kind: 'not-finite' },
  ): Promise<void> {
    const logs = { ...this.#totals.logs({ ranked: false }), loss };
    await this.#callbacks.onTrainBatchEnd(this.#position.batch, logs, this.#training);
    if (!this.#stop.requested) throw error;
    // As in Keras, the epoch that ends here shows what ended it; no best model comes of it.
    this.#totals.add(sum.sums, sum.scores, rows);
  }

  /** The logs of the validation, if one is due; null if it was interrupted: a resume begins it again. */
  async #validate(epoch: number): Promise<Logs | null> {
    const { validation, validationFreq, program, shards, prepareValidation, state, onEvent } = this.#plan;
    const isDue =
      typeof validationFreq === 'number'
        ? (epoch + 1) % validationFreq === 0
        : validationFreq.includes(epoch + 1);
    if (validation === null || !isDue) return {};
    const { stepsPerEpoch: batches } = validation;
    await this.#callbacks.onTestBegin(this.#training);
    const logs = await evaluateSource(this.#conductor, program, {
      source: validation,
      shards,
      weights: state.weights,
      prepare: prepareValidation,
      isInterrupted: () => this.#isInterrupted(),
      onBatchBegin: (batch) => this.#callbacks.onTestBatchBegin(batch, this.#training),
      onBatchEnd: async (batch, batchLogs) => {
        await this.#callbacks.onTestBatchEnd(batch, batchLogs, this.#training);
        onEvent({ type: 'test-batch', batch, batches });
      },
    });
    if (logs === null) return null;
    await this.#callbacks.onTestEnd(logs, this.#training);
    return Object.fromEntries(Object.entries(logs).map(([name, value]) => [`val_${name}`, value]));
  }

  /** Whether to end before the epoch does. What a callback has ended is brought to its end. */
  #isInterrupted(): boolean {
    const { signal, maxSteps } = this.#plan;
    if (this.#stop.requested) return false;
    return signal?.aborted === true || (maxSteps !== null && this.#position.step >= maxSteps);
  }

  #save(): void {
    this.#plan.checkpoints?.save(this.#snapshot());
  }

  #snapshot(): Snapshot {
    return takeSnapshot(this.#running(), this.#conductor.fingerprint);
  }

  #running(): RunningState {
    return { plan: this.#plan, position: this.#position, totals: this.#totals, callbacks: this.#callbacks };
  }
}
