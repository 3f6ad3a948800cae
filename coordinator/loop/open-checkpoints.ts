import { basename } from 'node:path';
import { systemClock } from '../../shared/clock.js';
import { LockstepError } from '../../shared/errors.js';
import { lockRun, type RunLock } from '../checkpoint/lock.js';
import type { Snapshot } from '../checkpoint/snapshot.js';
import { CheckpointStore, type FoundCheckpoint } from '../checkpoint/store.js';
import type { ClusterAccess } from '../cluster.js';
import type { Conductor } from '../conductor.js';
import type { RunListener } from '../events.js';
import type { CheckpointOptions } from '../job.js';
import { RunCheckpoints } from './run-checkpoints.js';

export interface OpenedCheckpoints {
  readonly checkpoints: RunCheckpoints;
  /** The newest good checkpoint, if a resume was asked for. */
  readonly resume: Snapshot | null;
  /** Stops what still tries to save, and lets another coordinator have the folder. */
  readonly release: () => Promise<void>;
}

/** How often a coordinator looks whether its run folder is still its own. */
const lookEveryMs = 1_000;

/**
 * Takes a run folder: locks it, finds out whether it can be written, and reads what to resume from. As long as it is
 * held, it is looked whether another coordinator has taken it over; then the run is stopped.
 * @throws LockstepError RUN_LOCKED, CHECKPOINT_UNWRITABLE, CHECKPOINT_NOT_FOUND, CHECKPOINT_CORRUPT
 */
export async function openCheckpoints(
  options: (CheckpointOptions & { directory: string; resume?: boolean }) | null,
  { emit, conductor }: Pick<ClusterAccess, 'emit'> & { conductor: Pick<Conductor, 'stop'> },
): Promise<OpenedCheckpoints | null> {
  if (options === null) return null;
  const { directory, resume = false, keepLast } = options;
  const keeping = keepLast === undefined ? {} : { keepLast };
  // A folder that holds nothing to resume is not made: reading it says so.
  const reader = new CheckpointStore(directory, keeping);
  if (resume && (await reader.list()).length === 0) await reader.readLatest();
  const lock = await lockRun(directory);
  const onLost = ({ code, message, hint }: LockstepError): void => conductor.stop({ code, message, hint });
  try {
    const store = new CheckpointStore(directory, { ...keeping, owner: lock });
    // First of all, so that a coordinator that does not know of this one finds nothing left to finish.
    await store.prepare();
    const found = resume ? await store.readLatest(lock.runId) : null;
    if (found !== null) sayWhatIsLost(found, emit);
    const earlier = resume ? undefined : (await store.list()).at(0);
    if (earlier !== undefined) {
      const what = `${directory} holds an earlier run (${basename(earlier)})`;
      emit({ type: 'warning', message: `${what}; this one begins anew and replaces its checkpoints` });
    }
    const checkpoints = new RunCheckpoints(store, lock.term, options, {
      onEvent: emit,
      onLost,
      resumedFrom: found?.path ?? null,
    });
    const endWatch = watchLock(lock, onLost);
    return {
      checkpoints,
      resume: found?.snapshot ?? null,
      async release() {
        endWatch();
        checkpoints.close();
        await letGo(lock, directory, emit);
      },
    };
  } catch (error) {
    await letGo(lock, directory, emit);
    throw error;
  }
}

/** Not worth hiding what the run came to: the lock of a process that has ended is taken over anyway. */
async function letGo(lock: RunLock, directory: string, emit: RunListener): Promise<void> {
  try {
    await lock.release();
  } catch (error) {
    if (!(error instanceof LockstepError)) throw error;
    emit({ type: 'warning', message: `the lock of ${directory} stays: ${error.message}` });
  }
}

function sayWhatIsLost({ warnings, stepsLost, snapshot }: FoundCheckpoint, emit: RunListener): void {
  for (const message of warnings) emit({ type: 'warning', message });
  if (stepsLost === 0) return;
  const steps = stepsLost === 1 ? '1 step is' : `${stepsLost} steps are`;
  emit({ type: 'warning', message: `${steps} lost, and trained again from step ${snapshot.run.step}` });
}

/** Returns what ends the watch. */
function watchLock(lock: RunLock, onLost: (error: LockstepError) => void): () => void {
  let isLooking = false;
  const look = async (): Promise<void> => {
    if (isLooking) return;
    isLooking = true;
    try {
      await lock.verify();
    } catch (error) {
      // A disk that cannot be read now is no other coordinator; whoever writes asks again.
      if (error instanceof LockstepError && error.code === 'RUN_LOCKED') onLost(error);
    } finally {
      isLooking = false;
    }
  };
  return systemClock.every(lookEveryMs, () => void look());
}
