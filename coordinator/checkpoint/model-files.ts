import * as tf from '@tensorflow/tfjs';
import { z } from 'zod';
import { LockstepError, messageOf } from '../../shared/errors.js';
import type { Manifest } from '../../shared/manifest.js';
import { flatten, manifestOf, unflatten } from '../../shared/manifest.js';
import { bytesOf, sizeOf } from '../../shared/tensors.js';

/*
 * TensorFlow.js's own layout of a saved model: `model.json` (topology and the list of weights) and one file with
 * the weights' bytes, so that plain `tf.loadLayersModel` reads what Lockstep writes. It finds weights by their
 * `originalName`, which is the manifest's name for every model that TensorFlow.js itself can load.
 */

/** A model as data: `topology` is `model.toJSON(null, false)`, `flat` the weights in manifest order. */
export interface ModelData {
  readonly topology: unknown;
  readonly manifest: Manifest;
  readonly flat: Float32Array;
}

export const modelJson = 'model.json';

/** What `model.save` would hand to an `IOHandler`; `tf.loadLayersModel(tf.io.fromMemory(...))` loads it. */
export function modelArtifacts({ topology, manifest, flat }: ModelData): tf.io.ModelArtifacts {
  const weightData = new Uint8Array(flat.byteLength);
  let offset = 0;
  for (const weight of unflatten(manifest, flat)) {
    weightData.set(bytesOf(weight), offset);
    offset += weight.byteLength;
  }
  return {
    ...description(topology),
    weightSpecs: weightSpecs(manifest),
    weightData: weightData.buffer,
  };
}

/** The two files' contents as chunks; the weights are views of `flat`. */
export function modelFiles(model: ModelData, weightsName: string): Map<string, Uint8Array[]> {
  const json = JSON.stringify({
    ...description(model.topology),
    weightsManifest: [{ paths: [weightsName], weights: weightSpecs(model.manifest) }],
  });
  return new Map([
    [weightsName, unflatten(model.manifest, model.flat).map(bytesOf)],
    [modelJson, [new TextEncoder().encode(json)]],
  ]);
}

function description(topology: unknown) {
  return {
    modelTopology: topology as tf.io.ModelJSON['modelTopology'],
    format: 'layers-model',
    generatedBy: `TensorFlow.js tfjs-layers v${tf.version_layers}`,
    convertedBy: null,
  };
}

function weightSpecs(manifest: Manifest): tf.io.WeightsManifestEntry[] {
  return manifest.weights.map(({ name, shape }) => ({ name, shape: [...shape], dtype: 'float32' }));
}

const fileSchema = z.object({
  modelTopology: z.looseObject({}),
  weightsManifest: z.array(
    z.object({
      paths: z.array(z.string().regex(/^[^/\\]+$/)),
      weights: z.array(
        z.object({
          name: z.string(),
          shape: z.array(z.int().nonnegative()),
          dtype: z.literal('float32'),
        }),
      ),
    }),
  ),
});

/** A saved model as read from its files: the weights by name. */
export interface SavedModel {
  readonly topology: unknown;
  readonly weights: ReadonlyMap<string, Float32Array>;
}

/**
 * Reads the two files, of Lockstep or of `model.save`.
 * @param read gives the bytes of a file beside `model.json`
 * @throws LockstepError CHECKPOINT_CORRUPT
 */
export async function readModelFiles(
  read: (name: string) => Promise<Uint8Array>,
  where: string,
): Promise<SavedModel> {
  const refuse = (reason: string, cause?: unknown): never => {
    throw new LockstepError('CHECKPOINT_CORRUPT', `the model in ${where} cannot be read: ${reason}`, {
      hint: 'Load another saved model, or save it again.',
      cause,
    });
  };
  const text = new TextDecoder().decode(await read(modelJson));
  const parsed = fileSchema.safeParse(parseJson(text));
  if (!parsed.success) {
    const [issue] = parsed.error.issues;
    return refuse(`${modelJson}: ${issue.path.join('.')} ${issue.message}`);
  }
  const weights = new Map<string, Float32Array>();
  for (const group of parsed.data.weightsManifest) {
    const files = await Promise.all(group.paths.map(read));
    const bytes = new Uint8Array(files.reduce((sum, file) => sum + file.length, 0));
    files.reduce((offset, file) => {
      bytes.set(file, offset);
      return offset + file.length;
    }, 0);
    const expected = group.weights.reduce((sum, { shape }) => sum + 4 * sizeOf(shape), 0);
    if (bytes.length !== expected) refuse(`${bytes.length} bytes of weights, expected ${expected}`);
    let offset = 0;
    for (const { name, shape } of group.weights) {
      weights.set(name, new Float32Array(bytes.buffer, offset, sizeOf(shape)));
      offset += 4 * sizeOf(shape);
    }
  }
  return { topology: parsed.data.modelTopology, weights };
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/**
 * Builds the model. Layers of the caller's own must be registered with `tf.serialization.registerClass` before.
 * @throws LockstepError MODEL_UNSUPPORTED if a layer is unknown; CHECKPOINT_CORRUPT if the weights do not fit
 */
export async function buildModel({ topology, weights }: SavedModel): Promise<tf.LayersModel> {
  let model: tf.LayersModel;
  try {
    model = await tf.models.modelFromJSON(topology as Parameters<typeof tf.models.modelFromJSON>[0]);
  } catch (cause) {
    throw new LockstepError(
      'MODEL_UNSUPPORTED',
      `the saved model cannot be built: ${messageOf(cause).split('\n')[0]}`,
      {
        hint: 'Register custom layers with tf.serialization.registerClass before loading the model.',
        cause,
      },
    );
  }
  const specs = manifestOf(model).weights;
  const misfit = specs.find(({ name, size }) => weights.get(name)?.length !== size);
  if (misfit !== undefined || specs.length !== weights.size) {
    throw new LockstepError(
      'CHECKPOINT_CORRUPT',
      `the saved weights do not fit the saved model (${misfit?.name ?? `${weights.size} weights, not ${specs.length}`})`,
      { hint: 'Load another saved model, or save it again.' },
    );
  }
  tf.tidy(() => {
    model.setWeights(specs.map(({ name, shape }) => tf.tensor(weights.get(name)!, [...shape], 'float32')));
  });
  return model;
}

/** A model as data, with copies of its weights. */
export function modelData(model: tf.LayersModel): ModelData {
  const manifest = manifestOf(model);
  const values = model.getWeights().map((weight) => weight.dataSync() as Float32Array);
  return { topology: model.toJSON(null, false), manifest, flat: flatten(manifest, values) };
}
