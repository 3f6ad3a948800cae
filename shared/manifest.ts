import type * as tf from '@tensorflow/tfjs';
import { LockstepError } from './errors.js';
import { sizeOf } from './tensors.js';

/** One weight of the model. */
export interface WeightSpec {
  /** Unique within the model and the same in every process, e.g. `dense_1/kernel`. */
  readonly name: string;
  readonly shape: readonly number[];
  readonly size: number;
  readonly trainable: boolean;
  /** First element in the flat vector. */
  readonly offset: number;
}

/** A BatchNormalization layer whose running statistics the run updates. */
export interface BatchNormSpec {
  /** Path of the layer, e.g. `batch_normalization_1`. */
  readonly layer: string;
  readonly momentum: number;
  readonly channels: number;
  /** Indices into `weights`. */
  readonly mean: number;
  readonly variance: number;
}

/**
 * The model's weights as one flat float32 vector: first all trainable weights, then all others, each group in
 * the order of `model.getWeights()`. A gradient is laid out like the first `trainableSize` elements.
 */
export interface Manifest {
  /** In the order of `model.getWeights()`. */
  readonly weights: readonly WeightSpec[];
  readonly trainableSize: number;
  readonly totalSize: number;
  readonly batchNorms: readonly BatchNormSpec[];
  /** Paths of the layers that do not train because they, or a model around them, are frozen. */
  readonly frozenLayers: readonly string[];
}

/** A layer with its path through nested models and wrappers. */
export interface PlacedLayer {
  readonly layer: tf.layers.Layer;
  readonly path: string;
  /** False if the layer or anything around it has `trainable = false`. */
  readonly trainable: boolean;
}

interface Nesting {
  layers?: tf.layers.Layer[];
  layer?: tf.layers.Layer;
  forwardLayer?: tf.layers.Layer;
  backwardLayer?: tf.layers.Layer;
}

/** All layers of a model, containers and wrapped layers included, in the order of the topology. */
export function layersOf(model: tf.LayersModel): PlacedLayer[] {
  const found: PlacedLayer[] = [];
  const visit = (layer: tf.layers.Layer, prefix: string, parentTrainable: boolean): void => {
    const path = prefix + layer.name;
    const trainable = parentTrainable && layer.trainable;
    found.push({ layer, path, trainable });
    const nesting = layer as unknown as Nesting;
    const children = nesting.layers ?? [nesting.layer, nesting.forwardLayer, nesting.backwardLayer];
    for (const child of children) if (child) visit(child, `${path}/`, trainable);
  };
  for (const layer of model.layers) visit(layer, '', model.trainable);
  return found;
}

/** Sets `trainable` on every layer so that exactly those in `frozenLayers` are frozen. */
export function freezeLayers(model: tf.LayersModel, frozenLayers: readonly string[]): void {
  const frozen = new Set(frozenLayers);
  model.trainable = true;
  for (const { layer, path } of layersOf(model)) layer.trainable = !frozen.has(path);
}

/**
 * Describes a built model.
 * @throws LockstepError MODEL_UNSUPPORTED if a weight is not float32 or a layer keeps state between batches
 */
export function manifestOf(model: tf.LayersModel): Manifest {
  const layers = layersOf(model);
  for (const { layer, path } of layers) {
    if ((layer as { stateful?: boolean }).stateful === true && !('layers' in layer)) {
      throw new LockstepError(
        'MODEL_UNSUPPORTED',
        `layer ${path} is stateful: its state would depend on the shards`,
        {
          hint: 'Build the layer without stateful: true.',
        },
      );
    }
  }
  const trainable = new Set(
    layers.filter((placed) => placed.trainable).flatMap(({ layer }) => layer.trainableWeights),
  );
  const names = new Map<string, number>();
  const described = model.weights.map((variable) => {
    if (variable.dtype !== 'float32') {
      throw new LockstepError(
        'MODEL_UNSUPPORTED',
        `weight ${variable.originalName} is ${variable.dtype}, expected float32`,
        {
          hint: 'Keep integer tables out of the weights, for example as constants of a custom layer.',
        },
      );
    }
    const seen = names.get(variable.originalName) ?? 0;
    names.set(variable.originalName, seen + 1);
    const shape = variable.shape.map((dim) => dim ?? 0);
    return {
      name: seen === 0 ? variable.originalName : `${variable.originalName}#${seen}`,
      shape,
      size: sizeOf(shape),
      trainable: trainable.has(variable),
    };
  });
  const offsets = new Map<number, number>();
  let offset = 0;
  for (const group of [true, false]) {
    described.forEach((weight, index) => {
      if (weight.trainable !== group) return;
      offsets.set(index, offset);
      offset += weight.size;
    });
  }
  const weights = described.map((weight, index) => ({ ...weight, offset: offsets.get(index) ?? 0 }));
  return {
    weights,
    trainableSize: weights.reduce((sum, weight) => sum + (weight.trainable ? weight.size : 0), 0),
    totalSize: offset,
    batchNorms: batchNormsOf(model, layers),
    frozenLayers: layers.filter((placed) => !placed.trainable).map((placed) => placed.path),
  };
}

function batchNormsOf(model: tf.LayersModel, layers: readonly PlacedLayer[]): BatchNormSpec[] {
  const found: BatchNormSpec[] = [];
  for (const { layer, path, trainable } of layers) {
    if (layer.getClassName() !== 'BatchNormalization' || !trainable) continue;
    const indexOf = (suffix: string): number =>
      model.weights.findIndex(
        (variable) => layer.weights.includes(variable) && variable.originalName.endsWith(suffix),
      );
    const mean = indexOf('moving_mean');
    if (found.some((batchNorm) => batchNorm.mean === mean)) continue;
    found.push({
      layer: path,
      momentum: Number(layer.getConfig().momentum ?? 0.99),
      channels: sizeOf(model.weights[mean].shape.map((dim) => dim ?? 0)),
      mean,
      variance: indexOf('moving_variance'),
    });
  }
  return found;
}

/** Copies weights given in the order of `getWeights()` into a new flat vector. */
export function flatten(manifest: Manifest, values: readonly Float32Array[]): Float32Array {
  const flat = new Float32Array(manifest.totalSize);
  manifest.weights.forEach((weight, index) => {
    flat.set(values[index], weight.offset);
  });
  return flat;
}

/** Views of the flat vector, one per weight, in the order of `getWeights()`. */
export function unflatten(manifest: Manifest, flat: Float32Array): Float32Array[] {
  return manifest.weights.map(({ offset, size }) => flat.subarray(offset, offset + size));
}
