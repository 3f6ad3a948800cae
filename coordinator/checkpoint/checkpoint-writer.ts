import { LockstepError } from '../../shared/errors.js';
import type { Snapshot } from './snapshot.js';
import type { CheckpointStore, WrittenCheckpoint } from './store.js';

export interface CheckpointWriterEvents {
  /** Awaited before each checkpoint is written: what must be on disk before it. */
  beforeWrite?(): Promise<void>;
  onWritten(written: WrittenCheckpoint): void;
  /** The checkpoint could not be written; the run and the older checkpoints are unharmed. */
  onError(error: LockstepError, snapshot: Snapshot): void;
}

/**
 * Writes checkpoints while training goes on: one at a time. A request made meanwhile waits, and takes the place
 * of one that already waits, so that a slow disk never falls behind.
 */
export class CheckpointWriter {
  readonly #store: CheckpointStore;
  readonly #events: CheckpointWriterEvents;
  #waiting: Snapshot | null = null;
  #running: Promise<void> | null = null;

  constructor(store: CheckpointStore, events: CheckpointWriterEvents) {
    this.#store = store;
    this.#events = events;
  }

  /** Whether a request made now would wait. */
  get busy(): boolean {
    return this.#running !== null;
  }

  /** Takes over `snapshot`, which must not change any more. */
  request(snapshot: Snapshot): void {
    this.#waiting = snapshot;
    this.#running ??= this.#writeAll();
  }

  /** Resolves when nothing is being written and nothing waits. */
  async flush(): Promise<void> {
    while (this.#running !== null) await this.#running;
  }

  async #writeAll(): Promise<void> {
    try {
      while (this.#waiting !== null) {
        const snapshot = this.#waiting;
        this.#waiting = null;
        await this.#write(snapshot);
      }
    } finally {
      this.#running = null;
    }
  }

  async #write(snapshot: Snapshot): Promise<void> {
    let written: WrittenCheckpoint;
    await this.#events.beforeWrite?.();
    try {
      written = await this.#store.write(snapshot);
    } catch (error) {
      if (!(error instanceof LockstepError)) throw error;
      this.#events.onError(error, snapshot);
      return;
    }
    this.#events.onWritten(written);
  }
}
