import type * as tf from '@tensorflow/tfjs';
import { LockstepError, messageOf } from '../../shared/errors.js';
import { layersOf, type Manifest, manifestOf } from '../../shared/manifest.js';
import { sizeOf } from '../../shared/tensors.js';

/** A model as the run knows it: the same in every process and however many models were built before it. */
export interface CanonicalModel {
  /** `model.toJSON(null, false)` */
  readonly topology: unknown;
  readonly manifest: Manifest;
  readonly outputNames: readonly string[];
  /** Of each output: elements per row, or null where the data decides (sequences of any length). */
  readonly outputElements: readonly (number | null)[];
}

/**
 * TensorFlow.js numbers unnamed layers by how many were built in the process (`dense_Dense7`), so the same model
 * built twice has other names. Here they are numbered from 1 within the model, in the topology and in the
 * manifest alike; names given by the user stay.
 * @throws LockstepError MODEL_UNSUPPORTED if it has no input shape, and as `manifestOf` does
 */
export function canonicalModel(model: tf.LayersModel): CanonicalModel {
  build(model);
  const names = canonicalNames(model);
  const renamed = (name: string): string => names.get(name) ?? name;
  const path = (layers: string): string => layers.split('/').map(renamed).join('/');
  const manifest = manifestOf(model);
  const topology: unknown = JSON.parse(JSON.stringify(model.toJSON(null, false)), (_key, value: unknown) =>
    typeof value === 'string' ? renamed(value) : value,
  );
  return {
    topology,
    manifest: {
      ...manifest,
      weights: manifest.weights.map((weight) => ({ ...weight, name: path(weight.name) })),
      batchNorms: manifest.batchNorms.map((batchNorm) => ({ ...batchNorm, layer: path(batchNorm.layer) })),
      frozenLayers: manifest.frozenLayers.map(path),
    },
    outputNames: model.outputNames.map(renamed),
    outputElements: model.outputs.map(({ shape: [, ...perRow] }) => {
      const known = perRow.filter((size): size is number => size !== null);
      return known.length < perRow.length ? null : sizeOf(known);
    }),
  };
}

/** A sequential model gets its inputs and outputs only when it is compiled or built. */
function build(model: tf.LayersModel): void {
  if (model.outputNames?.length > 0) return;
  try {
    (model as tf.Sequential).build();
  } catch (cause) {
    throw new LockstepError('MODEL_UNSUPPORTED', `the model cannot be built: ${messageOf(cause)}`, {
      hint: 'Give its first layer an inputShape.',
      cause,
    });
  }
}

/** What TensorFlow.js puts before the number: `dense_Dense`, `input`, `sequential_`, `model`. */
function automaticPrefix(layer: { name: string; getClassName(): string }): string | null {
  const prefix = layer.name.replace(/\d+$/, '');
  if (prefix === layer.name) return null;
  const className = layer.getClassName();
  const ownPrefix = { InputLayer: 'input', Sequential: 'sequential_' }[className];
  const containerPrefix = 'layers' in layer ? className.toLowerCase() : undefined;
  const isAutomatic = [ownPrefix, containerPrefix].includes(prefix) || prefix.endsWith(`_${className}`);
  return isAutomatic ? prefix : null;
}

function canonicalNames(model: tf.LayersModel): Map<string, string> {
  const layers = [model, ...layersOf(model).map(({ layer }) => layer)];
  const given = new Set(layers.filter((layer) => automaticPrefix(layer) === null).map(({ name }) => name));
  const counts = new Map<string, number>();
  const names = new Map<string, string>();
  for (const layer of layers) {
    const prefix = automaticPrefix(layer);
    if (prefix === null || names.has(layer.name)) continue;
    let count = counts.get(prefix) ?? 0;
    do count += 1;
    while (given.has(`${prefix}${count}`));
    counts.set(prefix, count);
    names.set(layer.name, `${prefix}${count}`);
  }
  return names;
}
