import * as tf from '@tensorflow/tfjs';
import type { FunctionRef, ProgramSpec } from '../../shared/program.js';
import { classes, type HostBatch, normal, specOf } from './eager-fixture.js';

const { layers } = tf;

/** A model, small enough for the cpu backend, with a batch that it can train on. */
export interface ZooModel {
  readonly build: () => tf.LayersModel;
  readonly batch: HostBatch;
  readonly losses: readonly FunctionRef[];
  readonly metrics?: readonly string[];
}

const builtin = (
  name: string,
  params: FunctionRef extends { params: infer P } ? P : object = {},
): FunctionRef => ({
  kind: 'builtin',
  name,
  params: params as Record<string, number | boolean>,
});

const rows = 6;
const image = [8, 8, 3];
const sparse = [builtin('sparseCategoricalCrossentropy')];
const mse = [builtin('meanSquaredError')];
const labels = [classes([rows], 4, 2)];

function chain(...stack: tf.layers.Layer[]): tf.Sequential {
  return tf.sequential({ layers: stack });
}

/** A residual block of ResNet-20 (He et al. 2015, section 4.2), the shortcut a strided 1×1 convolution. */
function residualBlock(input: tf.SymbolicTensor, filters: number, strides: number): tf.SymbolicTensor {
  const conv = (kernelSize: number, step: number) =>
    layers.conv2d({ filters, kernelSize, strides: step, padding: 'same', useBias: false });
  let x = conv(3, strides).apply(input) as tf.SymbolicTensor;
  x = layers.batchNormalization().apply(x) as tf.SymbolicTensor;
  x = layers.reLU().apply(x) as tf.SymbolicTensor;
  x = conv(3, 1).apply(x) as tf.SymbolicTensor;
  x = layers.batchNormalization().apply(x) as tf.SymbolicTensor;
  const shortcut = strides === 1 ? input : (conv(1, strides).apply(input) as tf.SymbolicTensor);
  return layers.reLU().apply(layers.add().apply([x, shortcut])) as tf.SymbolicTensor;
}

export const zoo: Readonly<Record<string, ZooModel>> = {
  'an MLP with regularisers and dropout': {
    build: () =>
      chain(
        layers.flatten({ inputShape: image }),
        layers.dense({ units: 12, activation: 'relu', kernelRegularizer: 'l1l2' }),
        layers.dropout({ rate: 0.3 }),
        layers.dense({ units: 4, activation: 'softmax' }),
      ),
    batch: { x: [normal([rows, ...image], 1)], y: labels },
    losses: sparse,
    metrics: ['accuracy'],
  },
  'a CNN with BatchNormalization, pooling and dropout': {
    build: () =>
      chain(
        layers.conv2d({ inputShape: image, filters: 4, kernelSize: 3, useBias: false }),
        layers.batchNormalization(),
        layers.activation({ activation: 'relu' }),
        layers.conv2d({ filters: 5, kernelSize: 3, activation: 'relu' }),
        layers.maxPooling2d({ poolSize: 2 }),
        layers.flatten(),
        layers.dropout({ rate: 0.25, seed: 5 }),
        layers.dense({ units: 8, activation: 'relu' }),
        layers.dense({ units: 4, activation: 'softmax' }),
      ),
    batch: { x: [normal([rows, ...image], 1)], y: labels },
    losses: sparse,
    metrics: ['accuracy', 'sparseCategoricalCrossentropy'],
  },
  'residual blocks': {
    build: () => {
      const input = tf.input({ shape: image });
      let x = residualBlock(residualBlock(input, 3, 1), 6, 2);
      x = layers.globalAveragePooling2d({}).apply(x) as tf.SymbolicTensor;
      const output = layers.dense({ units: 4, activation: 'softmax' }).apply(x) as tf.SymbolicTensor;
      return tf.model({ inputs: input, outputs: output });
    },
    batch: { x: [normal([rows, ...image], 1)], y: labels },
    losses: sparse,
    metrics: ['accuracy'],
  },
  'separable and depthwise convolutions, overlapping pools': {
    build: () =>
      chain(
        layers.separableConv2d({ inputShape: image, filters: 5, kernelSize: 3 }),
        layers.maxPooling2d({ poolSize: 3, strides: 2, padding: 'same' }),
        layers.depthwiseConv2d({ kernelSize: 3, depthMultiplier: 2, padding: 'same', activation: 'elu' }),
        layers.averagePooling2d({ poolSize: 2, strides: 1 }),
        layers.globalMaxPooling2d({}),
        layers.dense({ units: 4 }),
      ),
    batch: { x: [normal([rows, ...image], 1)], y: labels },
    losses: [builtin('sparseCategoricalCrossentropy', { fromLogits: true })],
  },
  'an autoencoder with transposed convolutions': {
    build: () =>
      chain(
        layers.conv2d({
          inputShape: image,
          filters: 4,
          kernelSize: 3,
          strides: 2,
          padding: 'same',
          activation: 'tanh',
        }),
        layers.conv2dTranspose({
          filters: 4,
          kernelSize: 3,
          strides: 2,
          padding: 'same',
          activation: 'relu',
        }),
        layers.conv2dTranspose({ filters: 3, kernelSize: 3, padding: 'same', activation: 'sigmoid' }),
      ),
    batch: { x: [normal([rows, ...image], 1)], y: [normal([rows, ...image], 3)] },
    losses: mse,
    metrics: ['meanAbsoluteError'],
  },
  'a decoder that enlarges images, with padded averages': {
    build: () =>
      chain(
        layers.averagePooling2d({ inputShape: image, poolSize: 3, strides: 2, padding: 'same' }),
        layers.conv2d({ filters: 3, kernelSize: 3, padding: 'same', activation: 'relu' }),
        layers.upSampling2d({ size: [2, 1] }),
        layers.averagePooling2d({ poolSize: 3, strides: 1, padding: 'same' }),
        layers.conv2d({ filters: 3, kernelSize: 1 }),
        layers.upSampling2d({ size: [1, 2], interpolation: 'bilinear' }),
      ),
    batch: { x: [normal([rows, ...image], 1)], y: [normal([rows, ...image], 3)] },
    losses: mse,
  },
  'convolutions of volumes': {
    build: () =>
      chain(
        layers.conv3d({
          inputShape: [5, 6, 4, 2],
          filters: 3,
          kernelSize: 2,
          padding: 'same',
          useBias: false,
        }),
        layers.batchNormalization(),
        layers.reLU(),
        layers.maxPooling3d({ poolSize: 2 }),
        layers.conv3d({ filters: 2, kernelSize: 2, activation: 'elu' }),
        layers.averagePooling3d({ poolSize: 2, strides: 1, padding: 'same' }),
        layers.flatten(),
        layers.dense({ units: 4, activation: 'softmax' }),
      ),
    batch: { x: [normal([rows, 5, 6, 4, 2], 1)], y: labels },
    losses: sparse,
  },
  'noise of every kind': {
    build: () =>
      chain(
        layers.gaussianNoise({ inputShape: [6, 4], stddev: 0.3 }),
        layers.spatialDropout1d({ rate: 0.3 }),
        layers.lstm({ units: 5, recurrentInitializer: 'zeros', dropout: 0.2, recurrentDropout: 0.3 }),
        layers.gaussianDropout({ rate: 0.3 }),
        layers.alphaDropout({ rate: 0.2 }),
        layers.dense({ units: 4, activation: 'softmax' }),
      ),
    batch: { x: [normal([rows, 6, 4], 5)], y: labels },
    losses: sparse,
  },
  'an embedding with a 1-D convolution': {
    build: () =>
      chain(
        layers.embedding({ inputDim: 11, outputDim: 6, inputLength: 7 }),
        layers.conv1d({ filters: 5, kernelSize: 3, activation: 'relu' }),
        layers.globalAveragePooling1d(),
        layers.dense({ units: 4, activation: 'softmax' }),
      ),
    batch: { x: [classes([rows, 7], 11, 4)], y: labels },
    losses: sparse,
  },
  'an LSTM classifier': {
    build: () =>
      chain(
        layers.lstm({ units: 5, inputShape: [6, 4], recurrentInitializer: 'zeros' }),
        layers.dense({ units: 4, activation: 'softmax' }),
      ),
    batch: { x: [normal([rows, 6, 4], 5)], y: labels },
    losses: sparse,
    metrics: ['accuracy'],
  },
  'a GRU in both directions': {
    build: () =>
      chain(
        layers.bidirectional({
          layer: layers.gru({ units: 3, recurrentInitializer: 'zeros' }) as tf.RNN,
          mergeMode: 'concat',
          inputShape: [5, 4],
        }),
        layers.dense({ units: 1, activation: 'sigmoid' }),
      ),
    batch: { x: [normal([rows, 5, 4], 6)], y: [classes([rows], 2, 7)] },
    losses: [builtin('binaryCrossentropy')],
    metrics: ['accuracy', 'auc', 'precision'],
  },
  'attention of a sequence to itself': {
    build: () => {
      const input = tf.input({ shape: [5, 6] });
      const project = () => layers.dense({ units: 6 }).apply(input) as tf.SymbolicTensor;
      const scores = layers.dot({ axes: [2, 2] }).apply([project(), project()]) as tf.SymbolicTensor;
      const weights = layers.softmax({ axis: -1 }).apply(scores) as tf.SymbolicTensor;
      const mixed = layers.dot({ axes: [2, 1] }).apply([weights, project()]) as tf.SymbolicTensor;
      const sum = layers.add().apply([mixed, input]) as tf.SymbolicTensor;
      const normed = layers.layerNormalization().apply(sum) as tf.SymbolicTensor;
      const flat = layers.flatten().apply(normed) as tf.SymbolicTensor;
      return tf.model({
        inputs: input,
        outputs: layers.dense({ units: 4, activation: 'softmax' }).apply(flat) as tf.SymbolicTensor,
      });
    },
    batch: { x: [normal([rows, 5, 6], 8)], y: labels },
    losses: sparse,
  },
  'several inputs and outputs, weighted': {
    build: () => {
      const a = tf.input({ shape: [4] });
      const b = tf.input({ shape: [3] });
      const joined = layers.concatenate().apply([a, b]) as tf.SymbolicTensor;
      const hidden = layers.dense({ units: 6, activation: 'selu' }).apply(joined) as tf.SymbolicTensor;
      const first = layers.dense({ units: 4, activation: 'softmax' }).apply(hidden) as tf.SymbolicTensor;
      const second = layers.dense({ units: 1 }).apply(hidden) as tf.SymbolicTensor;
      return tf.model({ inputs: [a, b], outputs: [first, second] });
    },
    batch: {
      x: [normal([rows, 4], 9), normal([rows, 3], 10)],
      y: [labels[0], normal([rows, 1], 11)],
      sampleWeights: [{ dtype: 'float32', shape: [rows], data: Float32Array.of(1, 0, 2, 0.5, 1, 3) }, null],
    },
    losses: [sparse[0], builtin('huber', { delta: 1 })],
  },
};

/** The program of a model of the zoo. */
export function specOfZoo(model: tf.LayersModel, { losses, metrics = [] }: ZooModel): ProgramSpec {
  const outputs = losses.map((loss, index) => ({ name: `output${index}`, loss, lossWeight: 1 - index / 4 }));
  return specOf(model, {
    outputs,
    metrics: metrics.map((name) => ({
      output: 0,
      metric: { kind: 'builtin', name, params: {} },
      weighted: false,
      label: name,
    })),
  });
}
