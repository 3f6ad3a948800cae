import { type Clock, systemClock } from '../../shared/clock.js';
import { LockstepError } from '../../shared/errors.js';
import { CheckpointWriter } from '../checkpoint/checkpoint-writer.js';
import type { Snapshot } from '../checkpoint/snapshot.js';
import type { CheckpointStore, WrittenCheckpoint } from '../checkpoint/store.js';
import type { RunListener } from '../events.js';
import type { CheckpointOptions } from '../job.js';

/** What could not be saved is tried again after this long, then after twice as long each time. */
const firstRetryMs = 1_000;
const longestRetryMs = 60_000;
/** How often the last checkpoint of a run is tried: for seven seconds in all. */
const lastAttempts = 4;

export interface RunCheckpointsOptions {
  readonly onEvent: RunListener;
  /** Called when another coordinator has taken over the folder: the run must end. */
  readonly onLost: (error: LockstepError) => void;
  /** The checkpoint that the run goes on from. */
  readonly resumedFrom: string | null;
  readonly clock?: Clock;
}

/** Saving fails since some time: the disk is full, or gone. */
interface Trouble {
  readonly sinceMs: number;
  readonly attempts: number;
  /** The newest that could not be saved, and why. */
  readonly snapshot: Snapshot;
  readonly error: LockstepError;
}

/**
 * Decides when a run is saved, and saves it while training goes on. A disk that cannot be written never ends the
 * training: that is said once, saving is tried again and again, and said when it works.
 */
export class RunCheckpoints {
  readonly directory: string;
  /** The coordinator's term: larger than that of every coordinator before it. */
  readonly term: number;
  readonly #writer: CheckpointWriter;
  readonly #options: RunCheckpointsOptions;
  readonly #clock: Clock;
  readonly #everySteps: number | null;
  readonly #everyMs: number | null;
  #beforeWrite: () => Promise<void> = () => Promise.resolve();
  #lastMs: number;
  #isOwed = false;
  #lastPath: string | null;
  #trouble: Trouble | null = null;
  #cancelRetry = (): void => {};
  readonly #verify: () => Promise<void>;
  /** The folder is another coordinator's now: nothing is written any more. */
  #lost: LockstepError | null = null;

  constructor(
    store: CheckpointStore,
    term: number,
    { everySteps, everySeconds }: CheckpointOptions,
    options: RunCheckpointsOptions,
  ) {
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
    this.#lastMs = this.#clock.nowMs();
    this.#lastPath = options.resumedFrom;
    this.directory = store.directory;
    this.#verify = () => store.verify();
    this.term = term;
    this.#everySteps = everySteps ?? null;
    this.#everyMs = everySeconds === undefined ? null : everySeconds * 1_000;
    this.#writer = new CheckpointWriter(store, {
      beforeWrite: () => this.#beforeWrite(),
      onWritten: (written) => this.#written(written),
      onError: (error, snapshot) => this.#failed(error, snapshot),
    });
  }

  /** Whether the folder is still this coordinator's, for whoever else writes into it. */
  async mayWrite(): Promise<boolean> {
    try {
      if (this.#lost === null) await this.#verify();
    } catch (error) {
      if (!(error instanceof LockstepError)) throw error;
      // A disk that cannot be read now says nothing about the owner: the writing itself will fail.
      if (error.code === 'RUN_LOCKED') this.#lose(error);
    }
    return this.#lost === null;
  }

  /** Has `flush` awaited before each checkpoint is written: what must be on disk before it. */
  writeAfter(flush: () => Promise<void>): void {
    this.#beforeWrite = flush;
  }

  /** The newest checkpoint of this run that is complete, also of an earlier start; null before the first. */
  get lastPath(): string | null {
    return this.#lastPath;
  }

  /**
   * Whether to save in the middle of an epoch, after `step` steps; to be asked after each. Never while a checkpoint
   * is being written: then as soon as it is complete.
   */
  due(step: number): boolean {
    if (this.#everySteps !== null && step % this.#everySteps === 0) this.#isOwed = true;
    if (this.#writer.busy) return false;
    if (this.#isOwed) return true;
    return this.#everyMs !== null && this.#clock.nowMs() - this.#lastMs >= this.#everyMs;
  }

  /** Takes over an immutable snapshot; returns at once. */
  save(snapshot: Snapshot): void {
    this.#isOwed = false;
    this.#lastMs = this.#clock.nowMs();
    if (this.#lost !== null) return;
    this.#options.onEvent({ type: 'saving', step: snapshot.run.step });
    this.#writer.request(snapshot);
  }

  /** Waits until everything asked for is on disk, or has failed. */
  flush(): Promise<void> {
    return this.#writer.flush();
  }

  /**
   * Waits for the run's last checkpoint, and tries for some seconds if it cannot be written.
   * @throws LockstepError CHECKPOINT_UNWRITABLE; RUN_LOCKED if the folder was taken over
   */
  async complete(): Promise<void> {
    await this.#writer.flush();
    for (let attempt = 1; this.#trouble !== null && attempt <= lastAttempts; attempt++) {
      this.#cancelRetry();
      if (attempt > 1) await this.#sleep(firstRetryMs * 2 ** (attempt - 2));
      if (this.#trouble === null) break;
      this.#writer.request(this.#trouble.snapshot);
      await this.#writer.flush();
    }
    if (this.#lost !== null) throw this.#lost;
    if (this.#trouble !== null) throw this.#unsaved(this.#trouble);
  }

  /** Tries no more. */
  close(): void {
    this.#cancelRetry();
  }

  #written({ path, step, warnings }: WrittenCheckpoint): void {
    const { onEvent } = this.#options;
    this.#cancelRetry();
    this.#lastPath = path;
    onEvent({ type: 'checkpoint', path, step });
    for (const message of warnings) onEvent({ type: 'warning', message });
    if (this.#trouble === null) return;
    const { sinceMs, attempts } = this.#trouble;
    this.#trouble = null;
    const seconds = ((this.#clock.nowMs() - sinceMs) / 1_000).toFixed(1);
    const message = `saving works again: step ${step} is saved, after ${attempts} failed attempts in ${seconds} s`;
    onEvent({ type: 'notice', message });
  }

  #failed(error: LockstepError, snapshot: Snapshot): void {
    this.#cancelRetry();
    if (error.code === 'RUN_LOCKED') return this.#lose(error);
    const { sinceMs, attempts } = this.#trouble ?? { sinceMs: this.#clock.nowMs(), attempts: 0 };
    this.#trouble = { sinceMs, attempts: attempts + 1, snapshot, error };
    if (attempts === 0) {
      const message = `${error.message}. ${error.hint} Training goes on, and saving is tried again.`;
      this.#options.onEvent({ type: 'warning', message });
    }
    const delayMs = Math.min(longestRetryMs, firstRetryMs * 2 ** attempts);
    this.#cancelRetry = this.#clock.after(delayMs, () => {
      // What is being written now is newer.
      if (!this.#writer.busy && this.#trouble !== null) this.#writer.request(this.#trouble.snapshot);
    });
  }

  #lose(error: LockstepError): void {
    this.#lost = error;
    this.#trouble = null;
    this.#options.onLost(error);
  }

  #unsaved({ error, snapshot }: Trouble): LockstepError {
    const saved = this.#lastPath === null ? 'nothing of the run is saved' : `${this.#lastPath} is intact`;
    const message = `the last state, step ${snapshot.run.step}, could not be saved, but ${saved}: ${error.message}`;
    return new LockstepError(error.code, message, { hint: error.hint, cause: error });
  }

  #sleep(delayMs: number): Promise<void> {
    return new Promise((resolve) => void this.#clock.after(delayMs, resolve));
  }
}
