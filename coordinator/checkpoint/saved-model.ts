import { join } from 'node:path';
import type * as tf from '@tensorflow/tfjs';
import { LockstepError, messageOf } from '../../shared/errors.js';
import { unflatten } from '../../shared/manifest.js';
import { type Disk, errnoOf, nodeDisk } from './disk.js';
import {
  buildModel,
  type ModelData,
  modelData,
  modelFiles,
  modelJson,
  readModelFiles,
  type SavedModel,
} from './model-files.js';
import { readSnapshot, type Snapshot } from './snapshot.js';
import { CheckpointStore } from './store.js';
import { unwritable } from './unwritable.js';

/** `weights-RANDOM.bin`: a new name for each save, so that `model.json` always names the weights it belongs to. */
const weightsPattern = /^weights-[0-9a-f]{16}\.bin$/;

/**
 * Saves a model where plain `tf.loadLayersModel` loads it. A model saved there before is replaced in one instant,
 * when `model.json` is renamed into place; other files in the directory are left alone.
 * @throws LockstepError CHECKPOINT_UNWRITABLE; what was saved there before is intact
 */
export async function saveModel(
  model: tf.LayersModel | ModelData,
  directory: string,
  disk: Disk = nodeDisk,
): Promise<void> {
  const data = 'topology' in model ? model : modelData(model);
  const random = crypto.getRandomValues(new BigUint64Array(1))[0];
  const weightsName = `weights-${random.toString(16).padStart(16, '0')}.bin`;
  const files = modelFiles(data, weightsName);
  const temporary = join(directory, `${modelJson}.unfinished`);
  let isNamed = false;
  try {
    await disk.makeDirectory(directory);
    const before = await disk.list(directory);
    await disk.write(join(directory, weightsName), files.get(weightsName)!);
    await disk.write(temporary, files.get(modelJson)!);
    await disk.rename(temporary, join(directory, modelJson));
    isNamed = true;
    await disk.sync(directory);
    for (const name of before.filter((name) => weightsPattern.test(name))) {
      await disk.remove(join(directory, name));
    }
  } catch (error) {
    // Makes room where the disk is full.
    const unfinished = isNamed ? [] : [temporary, join(directory, weightsName)];
    for (const path of unfinished) await disk.remove(path).catch(() => {});
    throw unwritable(directory, error);
  }
}

/**
 * Removes what `saveModel` wrote, and the directory if nothing else is in it.
 * @throws LockstepError CHECKPOINT_UNWRITABLE
 */
export async function removeModel(directory: string, disk: Disk = nodeDisk): Promise<void> {
  try {
    await disk.remove(join(directory, modelJson));
    for (const name of await disk.list(directory)) {
      if (weightsPattern.test(name)) await disk.remove(join(directory, name));
    }
    if ((await disk.list(directory)).length === 0) await disk.remove(directory);
  } catch (error) {
    throw unwritable(directory, error);
  }
}

/**
 * Loads a model from what Lockstep or `model.save` wrote: a saved model's directory, a checkpoint (every byte is
 * verified) or a run folder (its newest intact checkpoint). Plain TensorFlow.js has no `file://` in Node; this
 * needs no other package. Register custom layers with `tf.serialization.registerClass` before.
 * @throws LockstepError CHECKPOINT_NOT_FOUND, CHECKPOINT_CORRUPT, CHECKPOINT_MISMATCH, MODEL_UNSUPPORTED
 */
export async function loadModel(directory: string, disk: Disk = nodeDisk): Promise<tf.LayersModel> {
  return buildModel(await readModel(directory, disk));
}

async function readModel(directory: string, disk: Disk): Promise<SavedModel> {
  const names = await list(directory, disk);
  if (!names.includes(modelJson)) {
    return modelOf((await new CheckpointStore(directory, { disk }).readLatest()).snapshot);
  }
  if (names.includes('run.json')) return modelOf(await readSnapshot(disk, directory));
  return readModelFiles(async (name) => {
    try {
      return await disk.read(join(directory, name));
    } catch (cause) {
      throw new LockstepError('CHECKPOINT_CORRUPT', `${name} cannot be read: ${messageOf(cause)}`, {
        hint: 'Load another saved model, or save it again.',
        cause,
      });
    }
  }, directory);
}

async function list(directory: string, disk: Disk): Promise<string[]> {
  try {
    return await disk.list(directory);
  } catch (cause) {
    if (errnoOf(cause) === undefined) throw cause;
    throw new LockstepError('CHECKPOINT_NOT_FOUND', `${directory} cannot be read: ${messageOf(cause)}`, {
      hint: 'Name the folder of a saved model, of a checkpoint, or of a run.',
      cause,
    });
  }
}

function modelOf({ topology, manifest, flat }: Snapshot): SavedModel {
  const values = unflatten(manifest, flat);
  return { topology, weights: new Map(manifest.weights.map(({ name }, index) => [name, values[index]])) };
}
