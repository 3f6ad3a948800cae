import * as tf from '@tensorflow/tfjs';
import { beforeAll, describe, expect, it } from 'vitest';
import { withSeededMathRandom } from '../../shared/random.js';
import { loadBothBackends, normals, normalTensor, relativeError } from './wasm-reference.js';

beforeAll(loadBothBackends);

const { layers } = tf;
type Layer = tf.layers.Layer;

/** Values of loss, output and every gradient (input first) of one training step, the same weights on each backend. */
async function trainingStep(
  backend: 'cpu' | 'wasm',
  build: () => Layer[],
  inputShape: number[],
  inputs: tf.TensorLike,
): Promise<Map<string, Float32Array>> {
  await tf.setBackend(backend);
  const model = tf.sequential();
  for (const layer of build()) model.add(layer);
  for (const [i, weight] of model.weights.entries()) {
    // Around 0.5, so that variances stay positive and relu-like activations see both signs.
    const values = normals(tf.util.sizeFromShape(weight.shape as number[]), 100 + i).map(
      (v) => 0.5 + 0.25 * v,
    );
    weight.write(tf.tidy(() => tf.tensor(values, weight.shape as number[])));
  }
  const variables = model.trainableWeights.map((weight) => weight.read() as tf.Variable);
  const result = new Map<string, Float32Array>();
  const step = () =>
    tf.tidy(() => {
      const x = tf.tensor(inputs, inputShape);
      const { value, grads } = withSeededMathRandom(7, () =>
        tf.variableGrads(() => {
          const y = model.apply(x, { training: true }) as tf.Tensor;
          const target = normalTensor(y.shape, 8);
          return tf.mean(tf.squaredDifference(y, target)) as tf.Scalar;
        }, variables),
      );
      result.set('loss', Float32Array.from(value.dataSync()));
      for (const [i, variable] of variables.entries()) {
        result.set(
          `gradient of ${variable.shape} (${i})`,
          Float32Array.from(grads[variable.name].dataSync()),
        );
      }
    });
  step();
  const afterOne = tf.engine().backend.numDataIds();
  step();
  expect(tf.engine().backend.numDataIds(), 'buffers left behind by a step').toBe(afterOne);
  model.dispose();
  return result;
}

const image = [2, 6, 6, 3];
const sequence = [2, 5, 4];
const activations = [
  'elu',
  'hardSigmoid',
  'linear',
  'relu',
  'relu6',
  'selu',
  'sigmoid',
  'softmax',
  'softplus',
  'softsign',
  'tanh',
  'swish',
  'mish',
  'gelu',
  'gelu_new',
] as const;

const cases: [string, number[], () => Layer[]][] = [
  ['Dense', [4, 7], () => [layers.dense({ units: 5 })]],
  ['Dense on a sequence', sequence, () => [layers.dense({ units: 5, activation: 'tanh' })]],
  ['Conv1D', sequence, () => [layers.conv1d({ filters: 3, kernelSize: 2 })]],
  [
    'Conv2D, strided',
    image,
    () => [layers.conv2d({ filters: 4, kernelSize: 3, strides: 2, padding: 'same' })],
  ],
  [
    'Conv2D, channels first',
    image,
    () => [layers.conv2d({ filters: 4, kernelSize: 3, dataFormat: 'channelsFirst' })],
  ],
  ['Conv2DTranspose', image, () => [layers.conv2dTranspose({ filters: 4, kernelSize: 3, strides: 2 })]],
  ['Conv3D', [1, 4, 4, 4, 2], () => [layers.conv3d({ filters: 3, kernelSize: 2 })]],
  [
    'SeparableConv2D',
    image,
    () => [layers.separableConv2d({ filters: 4, kernelSize: 3, depthMultiplier: 2 })],
  ],
  ['DepthwiseConv2D', image, () => [layers.depthwiseConv2d({ kernelSize: 3, depthMultiplier: 2 })]],
  ['MaxPooling1D', sequence, () => [layers.dense({ units: 4 }), layers.maxPooling1d({ poolSize: 2 })]],
  ['MaxPooling2D', image, () => [layers.dense({ units: 4 }), layers.maxPooling2d({})]],
  [
    'MaxPooling3D',
    [1, 4, 4, 4, 2],
    () => [layers.dense({ units: 4 }), layers.maxPooling3d({ poolSize: 2, strides: 2, padding: 'valid' })],
  ],
  [
    'AveragePooling1D',
    sequence,
    () => [layers.dense({ units: 4 }), layers.averagePooling1d({ poolSize: 2 })],
  ],
  ['AveragePooling2D', image, () => [layers.dense({ units: 4 }), layers.averagePooling2d({})]],
  [
    'AveragePooling3D',
    [1, 4, 4, 4, 2],
    () => [
      layers.dense({ units: 4 }),
      layers.averagePooling3d({ poolSize: 2, strides: 2, padding: 'valid' }),
    ],
  ],
  ['GlobalAveragePooling1D', sequence, () => [layers.dense({ units: 4 }), layers.globalAveragePooling1d({})]],
  ['GlobalAveragePooling2D', image, () => [layers.dense({ units: 4 }), layers.globalAveragePooling2d({})]],
  ['GlobalMaxPooling1D', sequence, () => [layers.dense({ units: 4 }), layers.globalMaxPooling1d({})]],
  ['GlobalMaxPooling2D', image, () => [layers.dense({ units: 4 }), layers.globalMaxPooling2d({})]],
  ['BatchNormalization', image, () => [layers.batchNormalization()]],
  ['BatchNormalization of features', [6, 5], () => [layers.batchNormalization()]],
  ['LayerNormalization', sequence, () => [layers.layerNormalization()]],
  ['Dropout', [4, 9], () => [layers.dense({ units: 6 }), layers.dropout({ rate: 0.3 })]],
  ['SpatialDropout1D', sequence, () => [layers.dense({ units: 6 }), layers.spatialDropout1d({ rate: 0.3 })]],
  ['GaussianNoise', [4, 9], () => [layers.dense({ units: 6 }), layers.gaussianNoise({ stddev: 0.2 })]],
  ['GaussianDropout', [4, 9], () => [layers.dense({ units: 6 }), layers.gaussianDropout({ rate: 0.2 })]],
  ['AlphaDropout', [4, 9], () => [layers.dense({ units: 6 }), layers.alphaDropout({ rate: 0.2 })]],
  ['SimpleRNN', sequence, () => [layers.simpleRNN({ units: 3, returnSequences: true })]],
  ['GRU', sequence, () => [layers.gru({ units: 3 })]],
  ['GRU with sigmoid gates', sequence, () => [layers.gru({ units: 3, recurrentActivation: 'sigmoid' })]],
  ['LSTM', sequence, () => [layers.lstm({ units: 3, dropout: 0.2, recurrentDropout: 0.2 })]],
  [
    'Bidirectional',
    sequence,
    () => [layers.bidirectional({ layer: layers.lstm({ units: 3 }), mergeMode: 'concat' })],
  ],
  ['TimeDistributed', sequence, () => [layers.timeDistributed({ layer: layers.dense({ units: 3 }) })]],
  [
    'ConvLSTM2D',
    [1, 2, 5, 5, 2],
    () => [layers.convLstm2d({ filters: 2, kernelSize: 2, padding: 'valid', dataFormat: 'channelsLast' })],
  ],
  ['PReLU', [4, 6], () => [layers.dense({ units: 6 }), layers.prelu({})]],
  ['LeakyReLU', [4, 6], () => [layers.dense({ units: 6 }), layers.leakyReLU({})]],
  ['ELU', [4, 6], () => [layers.dense({ units: 6 }), layers.elu({})]],
  ['ReLU with a limit', [4, 6], () => [layers.dense({ units: 6 }), layers.reLU({ maxValue: 1 })]],
  ['Softmax', [4, 6], () => [layers.dense({ units: 6 }), layers.softmax({})]],
  // A batch of one: the cpu backend's gradient reads the wrong samples of a larger one.
  ['UpSampling2D', [1, 6, 6, 3], () => [layers.dense({ units: 4 }), layers.upSampling2d({})]],
  [
    'UpSampling2D, bilinear',
    image,
    () => [layers.dense({ units: 4 }), layers.upSampling2d({ interpolation: 'bilinear' })],
  ],
  [
    'ZeroPadding2D and Cropping2D',
    image,
    () => [
      layers.zeroPadding2d({}),
      layers.conv2d({ filters: 2, kernelSize: 2 }),
      layers.cropping2D({
        cropping: [
          [1, 1],
          [1, 2],
        ],
      }),
    ],
  ],
  [
    'Permute, Reshape, RepeatVector',
    [2, 6, 4],
    () => [
      layers.dense({ units: 2 }),
      layers.permute({ dims: [2, 1] }),
      layers.flatten(),
      layers.repeatVector({ n: 3 }),
      layers.reshape({ targetShape: [9, 4] }),
    ],
  ],
  [
    'a small CNN',
    [4, 10, 10, 1],
    () => [
      layers.conv2d({ filters: 4, kernelSize: 3, useBias: false }),
      layers.batchNormalization(),
      layers.activation({ activation: 'relu' }),
      layers.conv2d({ filters: 6, kernelSize: 3, activation: 'relu' }),
      layers.maxPooling2d({ poolSize: 2 }),
      layers.dropout({ rate: 0.25 }),
      layers.flatten(),
      layers.dense({ units: 9, activation: 'relu' }),
      layers.dense({ units: 5, activation: 'softmax' }),
    ],
  ],
  ...activations.map((activation): [string, number[], () => Layer[]] => [
    `activation ${activation}`,
    [4, 7],
    () => [layers.dense({ units: 5 }), layers.activation({ activation })],
  ]),
];

describe('one training step on wasm has the gradients of cpu', () => {
  it.each(cases)('%s', async (_, shape, build) => {
    const inputs = normals(tf.util.sizeFromShape(shape), 9);
    const withInput = () => [layers.inputLayer({ batchInputShape: shape }), ...build()];
    const expected = await trainingStep('cpu', withInput, shape, inputs);
    const actual = await trainingStep('wasm', withInput, shape, inputs);
    expect([...actual.keys()]).toEqual([...expected.keys()]);
    for (const [name, values] of expected) {
      expect(relativeError(actual.get(name)!, values), name).toBeLessThan(1e-5);
    }
  });

  it('Embedding', async () => {
    const shape = [2, 4];
    const build = () => [
      layers.embedding({ inputDim: 6, outputDim: 3, inputLength: 4, batchInputShape: shape }),
    ];
    const words = [0, 5, 5, 2, 1, 1, 1, 4];
    const expected = await trainingStep('cpu', build, shape, words);
    const actual = await trainingStep('wasm', build, shape, words);
    for (const [name, values] of expected)
      expect(relativeError(actual.get(name)!, values), name).toBeLessThan(1e-5);
  });
});
