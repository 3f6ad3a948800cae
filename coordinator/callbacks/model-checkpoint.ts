import { z } from 'zod';
import { LockstepError, messageOf } from '../../shared/errors.js';
import { isDiskFull } from '../checkpoint/disk.js';
import { removeModel } from '../checkpoint/saved-model.js';
import type { Callback, Logs, Training } from './callback.js';
import { float64, valuesOf } from './callback-state.js';
import { type MonitorOptions, monitorOf } from './monitor.js';
import { fillPattern, placeholdersOf } from './path-pattern.js';

export interface ModelCheckpointOptions extends MonitorOptions {
  /** Save only when the monitor is the best so far. Default false. */
  readonly saveBestOnly?: boolean;
  /** `epoch`, or every so many batches. Default `epoch`. */
  readonly saveFreq?: 'epoch' | number;
  /** The value that the first model saved must improve on. */
  readonly initialValueThreshold?: number;
  /** Models kept, where the directory has placeholders. Default: all. */
  readonly keepLast?: number;
  /** Whether to say when it saves. Default false. */
  readonly verbose?: boolean;
}

const savedValues = z.strictObject({
  best: float64,
  epoch: z.int(),
  lastBatch: z.int(),
  batchesSinceSave: z.int(),
  saved: z.array(z.record(z.string(), float64)),
});

/**
 * Saves the model during training, where plain `tf.loadLayersModel` loads it. Semantics:
 * `keras.callbacks.ModelCheckpoint` (keras/src/callbacks/model_checkpoint.py); as there, `saveBestOnly` saves
 * every time if the logs lack the monitor, and says so. On a full disk it says that the model is not saved, and
 * training goes on. To resume a run, use its checkpoint folder instead.
 * @param directory may hold placeholders: `{epoch}` and `{batch}`, counted from 1, and entries of the logs, as in
 *   `models/{epoch:02d}-{val_loss:.3f}`
 * @throws LockstepError BAD_OPTION
 */
export function modelCheckpoint(directory: string, options: ModelCheckpointOptions = {}): Callback {
  const { saveBestOnly = false, saveFreq = 'epoch', keepLast = Number.POSITIVE_INFINITY } = options;
  checkCounts(saveFreq, keepLast);
  const monitor = saveBestOnly ? monitorOf(options) : null;
  const placeholders = placeholdersOf(directory);
  let best = options.initialValueThreshold ?? monitor?.worst ?? 0;
  let epoch = 0;
  let lastBatch = 0;
  let batchesSinceSave = 0;
  /** What the placeholders of the models kept were filled with, oldest first: no path, which runs may differ in. */
  let saved: Record<string, number>[] = [];

  const isWanted = (logs: Logs, training: Training): boolean => {
    if (monitor === null) return true;
    const current = monitor.read(logs, training, 'the model is saved each time');
    if (current === null) return true;
    if (!monitor.improves(current, best)) return false;
    best = current;
    return true;
  };

  const save = async (batch: number | null, logs: Logs, training: Training): Promise<void> => {
    const known = { epoch: epoch + 1, ...(batch === null ? {} : { batch: batch + 1 }), ...logs };
    const path = fillPattern(directory, known);
    if (!isWanted(logs, training)) return;
    if ((await isSavedUnlessFull(path, training)) && options.verbose) {
      training.print(`Epoch ${epoch + 1}: model saved to ${path}`);
    }
    // Also what found the disk full: the state of a run is the same on every disk.
    const filled = Object.fromEntries(Object.entries(known).filter(([name]) => placeholders.includes(name)));
    saved = [...saved.filter((other) => fillPattern(directory, other) !== path), filled];
    while (saved.length > keepLast) await removeModel(fillPattern(directory, saved.shift() ?? {}));
  };

  return {
    name: 'modelCheckpoint',

    onEpochBegin(begun) {
      epoch = begun;
    },

    async onTrainBatchEnd(batch, logs, training) {
      if (saveFreq === 'epoch') return;
      // Batches count from 0 in every epoch.
      batchesSinceSave += batch <= lastBatch ? batch + 1 : batch - lastBatch;
      lastBatch = batch;
      if (batchesSinceSave < saveFreq) return;
      batchesSinceSave = 0;
      await save(batch, logs, training);
    },

    async onEpochEnd(ended, logs, training) {
      epoch = ended;
      if (saveFreq === 'epoch') await save(null, logs, training);
    },

    saveState: () => ({ values: { best, epoch, lastBatch, batchesSinceSave, saved } }),

    loadState(state) {
      ({ best, epoch, lastBatch, batchesSinceSave, saved } = valuesOf('modelCheckpoint', savedValues, state));
    },
  };
}

/** Saves the model; on a full disk it says that it could not. */
async function isSavedUnlessFull(path: string, training: Training): Promise<boolean> {
  try {
    await training.saveModel(path);
    return true;
  } catch (error) {
    if (!isDiskFull(error)) throw error;
    const what = `modelCheckpoint could not save ${path}: ${messageOf(error)}`;
    training.print(`warning: ${what}. Training goes on without this one.`);
    return false;
  }
}

function checkCounts(saveFreq: 'epoch' | number, keepLast: number): void {
  if (saveFreq !== 'epoch' && !(Number.isInteger(saveFreq) && saveFreq > 0)) {
    throw new LockstepError(
      'BAD_OPTION',
      `saveFreq is ${saveFreq}, expected "epoch" or a number of batches`,
      {
        hint: 'Use "epoch", or a whole number of at least 1.',
      },
    );
  }
  if (keepLast !== Number.POSITIVE_INFINITY && !(Number.isInteger(keepLast) && keepLast > 0)) {
    throw new LockstepError('BAD_OPTION', `keepLast is ${keepLast}, expected a number of models`, {
      hint: 'Use a whole number of at least 1, or leave it out to keep all.',
    });
  }
}
