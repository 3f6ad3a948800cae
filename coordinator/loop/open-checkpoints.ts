import { lockRun } from '../checkpoint/lock.js';
import type { Snapshot } from '../checkpoint/snapshot.js';
import { CheckpointStore } from '../checkpoint/store.js';
import type { RunListener } from '../events.js';
import type { CheckpointOptions } from '../job.js';
import { RunCheckpoints } from './run-checkpoints.js';

export interface OpenedCheckpoints {
  readonly checkpoints: RunCheckpoints;
  /** The newest good checkpoint, if a resume was asked for. */
  readonly resume: Snapshot | null;
  /** Lets another coordinator have the folder. */
  readonly release: () => Promise<void>;
}

/**
 * Takes a run folder: locks it, finds out whether it can be written, and reads what to resume from.
 * @throws LockstepError RUN_LOCKED, CHECKPOINT_UNWRITABLE, CHECKPOINT_NOT_FOUND, CHECKPOINT_CORRUPT
 */
export async function openCheckpoints(
  options: (CheckpointOptions & { directory: string; resume?: boolean }) | null,
  emit: RunListener,
): Promise<OpenedCheckpoints | null> {
  if (options === null) return null;
  const { directory, resume = false, keepLast } = options;
  const store = new CheckpointStore(directory, keepLast === undefined ? {} : { keepLast });
  // Reading comes first: a folder that holds nothing to resume is not made.
  let resumed: { readonly path: string; readonly snapshot: Snapshot } | null = null;
  if (resume) {
    const found = await store.readLatest();
    for (const message of found.warnings) emit({ type: 'warning', message });
    resumed = found;
  }
  const lock = await lockRun(directory);
  await store.prepare().catch(async (error: unknown) => {
    await lock.release();
    throw error;
  });
  return {
    checkpoints: new RunCheckpoints(store, lock.term, options, emit, resumed?.path ?? null),
    resume: resumed?.snapshot ?? null,
    release: () => lock.release(),
  };
}
