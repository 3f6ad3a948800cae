import type { LockstepError } from '../../shared/errors.js';
import { CheckpointWriter } from '../checkpoint/checkpoint-writer.js';
import type { Snapshot } from '../checkpoint/snapshot.js';
import type { CheckpointStore } from '../checkpoint/store.js';
import type { RunListener } from '../events.js';
import type { CheckpointOptions } from '../job.js';

/** Decides when a run is saved, and saves it while training goes on. */
export class RunCheckpoints {
  readonly directory: string;
  /** The coordinator's term: larger than that of every coordinator before it. */
  readonly term: number;
  readonly #writer: CheckpointWriter;
  readonly #onEvent: RunListener;
  readonly #everySteps: number | null;
  readonly #everyMs: number | null;
  #lastMs = performance.now();
  #beforeWrite: () => Promise<void> = () => Promise.resolve();
  #isOwed = false;
  #lastPath: string | null;
  /** What could not be written last, and why; null once something newer is on disk. */
  #failure: { readonly snapshot: Snapshot; readonly error: LockstepError } | null = null;

  constructor(
    store: CheckpointStore,
    term: number,
    { everySteps, everySeconds }: CheckpointOptions,
    onEvent: RunListener,
    resumedFrom: string | null,
  ) {
    this.#onEvent = onEvent;
    this.#lastPath = resumedFrom;
    this.directory = store.directory;
    this.term = term;
    this.#everySteps = everySteps ?? null;
    this.#everyMs = everySeconds === undefined ? null : everySeconds * 1_000;
    this.#writer = new CheckpointWriter(store, {
      beforeWrite: () => this.#beforeWrite(),
      onWritten: ({ path, step, warnings }) => {
        this.#lastPath = path;
        this.#failure = null;
        onEvent({ type: 'checkpoint', path, step });
        for (const message of warnings) onEvent({ type: 'warning', message });
      },
      onError: (error, snapshot) => {
        this.#failure = { snapshot, error };
        onEvent({ type: 'warning', message: `${error.message}. ${error.hint}` });
      },
    });
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
    return this.#everyMs !== null && performance.now() - this.#lastMs >= this.#everyMs;
  }

  /** Takes over an immutable snapshot; returns at once. */
  save(snapshot: Snapshot): void {
    this.#isOwed = false;
    this.#lastMs = performance.now();
    this.#onEvent({ type: 'saving', step: snapshot.run.step });
    this.#writer.request(snapshot);
  }

  /** Waits until everything asked for is on disk, or was reported as failed. */
  flush(): Promise<void> {
    return this.#writer.flush();
  }

  /**
   * Waits for the run's last checkpoint, and tries once more if it could not be written.
   * @throws LockstepError CHECKPOINT_UNWRITABLE
   */
  async complete(): Promise<void> {
    await this.#writer.flush();
    if (this.#failure === null) return;
    this.save(this.#failure.snapshot);
    await this.flush();
    if (this.#failure !== null) throw this.#failure.error;
  }
}
