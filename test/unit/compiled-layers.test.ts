import * as tf from '@tensorflow/tfjs';
import { describe, expect, it } from 'vitest';
import { sizeOf } from '../../shared/tensors.js';
import { buildModel } from '../../worker/compute/build-model.js';
import { emitStep } from '../../worker/compute/compiled/emit.js';
import { traceShard } from '../../worker/compute/compiled/trace-step.js';
import { ShardStep } from '../../worker/compute/shard-step.js';
import { float32, specOf } from './eager-fixture.js';

const { layers } = tf;

/** By name in `tf.layers`. */
type Cases = Readonly<Record<string, readonly (() => tf.layers.Layer)[]>>;

const zeros = { recurrentInitializer: 'zeros' } as const;
const dropouts = { ...zeros, dropout: 0.2, recurrentDropout: 0.3 };

const ofVectors: Cases = {
  alphaDropout: [() => layers.alphaDropout({ rate: 0.3 })],
  batchNormalization: [() => layers.batchNormalization()],
  dense: [() => layers.dense({ units: 3 })],
  dropout: [() => layers.dropout({ rate: 0.3, noiseShape: [4, 1] })],
  elu: [() => layers.elu()],
  gaussianDropout: [() => layers.gaussianDropout({ rate: 0.3 })],
  gaussianNoise: [() => layers.gaussianNoise({ stddev: 0.3 })],
  layerNormalization: [() => layers.layerNormalization()],
  leakyReLU: [() => layers.leakyReLU()],
  prelu: [() => layers.prelu()],
  reLU: [() => layers.reLU({ maxValue: 6 })],
  repeatVector: [() => layers.repeatVector({ n: 3 })],
  rescaling: [() => layers.rescaling({ scale: 0.5, offset: 1 })],
  softmax: [() => layers.softmax()],
  thresholdedReLU: [() => layers.thresholdedReLU({ theta: 0.3 })],
};

const ofSequences: Cases = {
  averagePooling1d: [() => layers.averagePooling1d({ poolSize: 3, strides: 2, padding: 'same' })],
  bidirectional: [
    () => layers.bidirectional({ layer: layers.lstm({ units: 3, ...dropouts }) as tf.RNN, mergeMode: 'ave' }),
  ],
  conv1d: [() => layers.conv1d({ filters: 3, kernelSize: 2 })],
  flatten: [() => layers.flatten()],
  globalAveragePooling1d: [() => layers.globalAveragePooling1d()],
  globalMaxPooling1d: [() => layers.globalMaxPooling1d()],
  gru: [() => layers.gru({ units: 3, ...dropouts, goBackwards: true })],
  lstm: [() => layers.lstm({ units: 3, ...dropouts, returnSequences: true })],
  masking: [() => layers.masking()],
  maxPooling1d: [() => layers.maxPooling1d({ poolSize: 2 })],
  rnn: [
    () =>
      layers.rnn({
        cell: [layers.gruCell({ units: 3, ...dropouts }), layers.lstmCell({ units: 2, ...dropouts })],
      }),
  ],
  simpleRNN: [() => layers.simpleRNN({ units: 3, ...dropouts })],
  spatialDropout1d: [() => layers.spatialDropout1d({ rate: 0.3 })],
  timeDistributed: [() => layers.timeDistributed({ layer: layers.dense({ units: 3 }) })],
};

const ofImages: Cases = {
  activation: [
    ...['elu', 'hardSigmoid', 'relu6', 'selu', 'softplus', 'softsign', 'tanh', 'swish', 'mish'].map(
      (activation) => () => layers.activation({ activation: activation as 'elu' }),
    ),
  ],
  averagePooling2d: [() => layers.averagePooling2d({ poolSize: 3, strides: 2, padding: 'same' })],
  conv2d: [() => layers.conv2d({ filters: 3, kernelSize: 3, strides: 2, padding: 'same' })],
  conv2dTranspose: [() => layers.conv2dTranspose({ filters: 3, kernelSize: 3, strides: 2 })],
  cropping2D: [() => layers.cropping2D({ cropping: 1 })],
  depthwiseConv2d: [() => layers.depthwiseConv2d({ kernelSize: 3, depthMultiplier: 2 })],
  globalAveragePooling2d: [() => layers.globalAveragePooling2d({})],
  globalMaxPooling2d: [() => layers.globalMaxPooling2d({})],
  maxPooling2d: [() => layers.maxPooling2d({ poolSize: 3, strides: 2, padding: 'same' })],
  permute: [() => layers.permute({ dims: [3, 1, 2] })],
  reshape: [() => layers.reshape({ targetShape: [12, 16] })],
  separableConv2d: [() => layers.separableConv2d({ filters: 3, kernelSize: 3 })],
  upSampling2d: [
    () => layers.upSampling2d({ size: [2, 3] }),
    () => layers.upSampling2d({ size: [2, 3], interpolation: 'bilinear' }),
  ],
  zeroPadding2d: [() => layers.zeroPadding2d({ padding: 1 })],
};

const ofVolumes: Cases = {
  averagePooling3d: [() => layers.averagePooling3d({ poolSize: 2, padding: 'same' })],
  conv3d: [() => layers.conv3d({ filters: 3, kernelSize: 2, padding: 'same' })],
  convLstm2d: [() => layers.convLstm2d({ filters: 2, kernelSize: 3, ...dropouts })],
  maxPooling3d: [() => layers.maxPooling3d({ poolSize: 2 })],
};

const ofPairs: Cases = {
  add: [() => layers.add()],
  average: [() => layers.average()],
  concatenate: [() => layers.concatenate()],
  dot: [() => layers.dot({ axes: -1, normalize: true })],
  maximum: [() => layers.maximum()],
  minimum: [() => layers.minimum()],
  multiply: [() => layers.multiply()],
};

/** TensorFlow.js cannot differentiate them by their inputs. */
const onlyFirst = ['masking', 'thresholdedReLU'];

/** What is no layer by itself, or does not train op by op. */
const left = {
  abstract: ['Layer', 'RNN', 'RNNCell', 'input', 'inputLayer', 'stackedRNNCells'],
  cells: ['convLstm2dCell', 'gruCell', 'lstmCell', 'simpleRNNCell'],
  aliases: ['avgPool1d', 'avgPool2d', 'avgPool3d', 'avgPooling1d', 'avgPooling2d', 'avgPooling3d'],
  moreAliases: ['globalMaxPool1d', 'globalMaxPool2d', 'maxPool1d', 'maxPool2d'],
  withoutGradient: ['conv3dTranspose'],
  // Their output shape is written into the shape of their input.
  ofInputs: ['categoryEncoding', 'centerCrop', 'randomWidth', 'resizing'],
  byTokens: ['embedding'],
};

/** Traces and emits the training step of a model, on a shard of zeros. */
async function compile(x: tf.SymbolicTensor, y: tf.SymbolicTensor): Promise<number> {
  const flat = layers.reshape({ targetShape: [sizeOf(y.shape.slice(1).map(Number))] }).apply(y);
  const outputs = layers.dense({ units: 2 }).apply(flat as tf.SymbolicTensor) as tf.SymbolicTensor;
  const loss = { kind: 'builtin', name: 'meanSquaredError', params: {} } as const;
  const model = tf.model({ inputs: x, outputs });
  const spec = specOf(model, { outputs: [{ name: 'output', loss, lossWeight: 1 }] });
  const built = await buildModel(spec);
  const step = new ShardStep(spec, new Map(), built.model, built.manifest);
  const zero = (shape: number[]) => float32(shape, new Float32Array(sizeOf(shape)));
  const data = {
    x: [zero([4, ...x.shape.slice(1).map(Number)])],
    y: [zero([4, 2])],
    sampleWeights: [null],
  };
  const traced = traceShard(step, { step: 0, shard: 0, batchRows: 4, data }, true);
  step.dispose();
  return emitStep(
    traced,
    traced.gradients.filter((gradient) => gradient !== null),
  ).nodes;
}

describe('the layers of TensorFlow.js compile', () => {
  const shapes = [
    { shape: [5], cases: ofVectors },
    { shape: [6, 4], cases: ofSequences },
    { shape: [8, 8, 3], cases: ofImages },
    { shape: [3, 6, 6, 2], cases: ofVolumes },
    { shape: [5], cases: ofPairs },
  ];

  for (const { shape, cases } of shapes) {
    for (const [name, makers] of Object.entries(cases)) {
      it(name, async () => {
        for (const make of makers) {
          const x = tf.input({ shape });
          const dense = layers.dense({ units: shape[shape.length - 1] }).apply(x) as tf.SymbolicTensor;
          // After a dense one, so that the layer's own gradient is needed.
          const single = onlyFirst.includes(name) ? x : dense;
          const given = cases === ofPairs ? [x, dense] : single;
          expect(await compile(x, make().apply(given) as tf.SymbolicTensor)).toBeGreaterThan(0);
        }
      });
    }
  }

  it('embedding, masked, under a recurrent layer', async () => {
    const x = tf.input({ shape: [4] });
    const embedded = layers.embedding({ inputDim: 6, outputDim: 3, maskZero: true }).apply(x);
    const y = layers.lstm({ units: 3, ...zeros }).apply(embedded as tf.SymbolicTensor);
    expect(await compile(x, y as tf.SymbolicTensor)).toBeGreaterThan(0);
  });

  it('are all here', () => {
    const named = [...shapes.flatMap(({ cases }) => Object.keys(cases)), ...Object.values(left).flat()];
    expect(named.sort()).toEqual(Object.keys(layers).sort());
  });
});
