import { basename } from 'node:path';
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
  // A folder that holds nothing to resume is not made: reading it says so.
  if (resume && (await store.list()).length === 0) await store.readLatest();
  const lock = await lockRun(directory);
  try {
    const found = resume ? await store.readLatest() : null;
    for (const message of found?.warnings ?? []) emit({ type: 'warning', message });
    const earlier = resume ? undefined : (await store.list()).at(0);
    if (earlier !== undefined) {
      const what = `${directory} holds an earlier run (${basename(earlier)})`;
      emit({ type: 'warning', message: `${what}; this one begins anew and replaces its checkpoints` });
    }
    await store.prepare();
    return {
      checkpoints: new RunCheckpoints(store, lock.term, options, emit, found?.path ?? null),
      resume: found?.snapshot ?? null,
      release: () => lock.release(),
    };
  } catch (error) {
    await lock.release();
    throw error;
  }
}
