import * as tf from '@tensorflow/tfjs';
import { beforeAll, describe, expect, it } from 'vitest';
import { losses } from '../../shared/losses.js';
import { manifestOf } from '../../shared/manifest.js';
import type { OutputSpec } from '../../shared/program.js';
import { batchLossOf, layoutOf } from '../../shared/sums.js';
import type { HostTensor } from '../../shared/tensors.js';
import { createEagerProgram } from '../../worker/compute/eager-program.js';
import {
  classes,
  float32,
  type HostBatch,
  largestDifference,
  normal,
  randomizeWeights,
  runBatch,
  specOf,
} from './eager-fixture.js';

beforeAll(async () => {
  await tf.setBackend('cpu');
});

const tensorOf = ({ data, shape }: HostTensor) => tf.tensor(data, [...shape], 'float32');

/** The gradient of a loss written out with plain TensorFlow.js, flat in manifest order. */
function plainGradient(model: tf.LayersModel, loss: () => tf.Scalar): Float32Array {
  const manifest = manifestOf(model);
  const flat = new Float32Array(manifest.trainableSize);
  const { grads } = tf.variableGrads(loss);
  manifest.weights.forEach(({ trainable, offset }, index) => {
    const gradient = grads[model.weights[index].name];
    if (trainable && gradient) flat.set(gradient.dataSync(), offset);
  });
  return flat;
}

function predict(model: tf.LayersModel, x: readonly HostTensor[]): tf.Tensor[] {
  const outputs = model.apply(x.map(tensorOf), { training: true }) as tf.Tensor | tf.Tensor[];
  return Array.isArray(outputs) ? outputs : [outputs];
}

async function expectGradient(
  model: tf.LayersModel,
  outputs: readonly OutputSpec[],
  batch: HostBatch,
  loss: (outputs: tf.Tensor[]) => tf.Scalar,
): Promise<void> {
  const flat = randomizeWeights(model, 3);
  const spec = specOf(model, { outputs });
  const { program, manifest } = await createEagerProgram(spec, new Map());
  expect(manifest.weights.map(({ name, shape }) => ({ name, shape }))).toEqual(
    manifestOf(model).weights.map(({ name, shape }) => ({ name, shape })),
  );
  program.setWeights(flat);
  const expected = plainGradient(model, () => loss(predict(model, batch.x)));
  const [value] = await loss(predict(model, batch.x)).data();
  const layout = layoutOf(spec);
  const whole = await runBatch(program, 'train', batch, 1);
  expect(largestDifference(whole.gradient, expected)).toBeLessThan(1e-6);
  for (const shards of [1, 4]) {
    const sum = await runBatch(program, 'train', batch, shards);
    expect(largestDifference(sum.gradient, whole.gradient)).toBeLessThan(1e-6);
    expect(batchLossOf(layout, spec, sum.sums)).toBeCloseTo(value, 5);
  }
  expect(Math.hypot(...expected)).toBeGreaterThan(0.01);
}

const out = (loss: OutputSpec['loss'], lossWeight = 1, name = 'out'): OutputSpec => ({
  name,
  loss,
  lossWeight,
});

describe('the gradient of a batch', () => {
  it("is that of Keras's mean loss, at one shard and at four, also with absent and ragged shards", async () => {
    for (const rows of [8, 11, 5]) {
      const model = tf.sequential({
        layers: [
          tf.layers.dense({ units: 5, activation: 'tanh', inputShape: [3] }),
          tf.layers.dense({ units: 2 }),
        ],
      });
      const batch = { x: [normal([rows, 3], 1)], y: [normal([rows, 2], 2)] };
      await expectGradient(model, [out(losses.meanSquaredError())], batch, ([p]) =>
        tf.losses.meanSquaredError(tensorOf(batch.y[0]), p),
      );
    }
  });

  it('equals that of model.compile and trainOnBatch', async () => {
    const model = tf.sequential({
      layers: [
        tf.layers.dense({ units: 4, activation: 'relu', inputShape: [3] }),
        tf.layers.dense({ units: 3, activation: 'softmax' }),
      ],
    });
    const flat = randomizeWeights(model, 5);
    const spec = specOf(model, { outputs: [out(losses.categoricalCrossentropy())] });
    const { program, manifest } = await createEagerProgram(spec, new Map());
    program.setWeights(flat);
    const x = normal([8, 3], 1);
    const y = float32([8, 3], [1, 0, 0, 0, 1, 0, 0, 0, 1, 1, 0, 0, 0, 1, 0, 0, 0, 1, 1, 0, 0, 0, 1, 0]);
    const { gradient, sums } = await runBatch(program, 'train', { x: [x], y: [y] }, 4);
    model.compile({ optimizer: tf.train.sgd(1), loss: 'categoricalCrossentropy' });
    const loss = (await model.trainOnBatch(tensorOf(x), tensorOf(y))) as number;
    expect(batchLossOf(layoutOf(spec), spec, sums)).toBeCloseTo(loss, 5);
    const after = model.getWeights().map((weight) => weight.dataSync());
    manifest.weights.forEach(({ offset, size }, index) => {
      const expected = after[index].map((value, i) => flat[offset + i] - value);
      expect(largestDifference(gradient.subarray(offset, offset + size), expected)).toBeLessThan(1e-6);
    });
  });

  it('multiplies sample weights and loss weights without changing the divisor', async () => {
    const input = tf.input({ shape: [3] });
    const hidden = tf.layers.dense({ units: 4, activation: 'sigmoid' }).apply(input) as tf.SymbolicTensor;
    const first = tf.layers.dense({ units: 1, name: 'first' }).apply(hidden) as tf.SymbolicTensor;
    const second = tf.layers.dense({ units: 2, name: 'second' }).apply(hidden) as tf.SymbolicTensor;
    const model = tf.model({ inputs: input, outputs: [first, second] });
    const weights = float32([6], [0, 1, 2, 0.5, 3, 1]);
    const batch = {
      x: [normal([6, 3], 1)],
      y: [normal([6], 2), normal([6, 2], 3)],
      sampleWeights: [weights, null],
    };
    const outputs = [
      out(losses.meanSquaredError(), 0.3, 'first'),
      out(losses.meanAbsoluteError(), 2, 'second'),
    ];
    await expectGradient(model, outputs, batch, ([p, q]) => {
      const squared = tf.square(tf.sub(tensorOf(batch.y[0]), p.reshape([6])));
      const weighted = tf.div(tf.sum(tf.mul(squared, tensorOf(weights))), 6);
      const absolute = tf.mean(tf.abs(tf.sub(tensorOf(batch.y[1]), q)));
      return tf.add(tf.mul(0.3, weighted), tf.mul(2, absolute)).asScalar();
    });
  });

  it('takes sparse labels of sequences, weighted by row, over all time steps', async () => {
    const model = tf.sequential({
      layers: [
        tf.layers.embedding({ inputDim: 6, outputDim: 4, inputLength: 5 }),
        tf.layers.simpleRNN({ units: 3, returnSequences: true }),
        tf.layers.timeDistributed({ layer: tf.layers.dense({ units: 4, activation: 'softmax' }) }),
      ],
    });
    const weights = float32([8], [1, 2, 0, 1, 1, 0.5, 1, 4]);
    const labels = classes([8, 5], 4, 2);
    const batch = { x: [classes([8, 5], 6, 1)], y: [labels], sampleWeights: [weights] };
    await expectGradient(model, [out(losses.sparseCategoricalCrossentropy())], batch, ([p]) => {
      const oneHot = tf.oneHot(tf.tensor(labels.data, [8, 5], 'int32'), 4).toFloat();
      const perStep = tf.neg(tf.log(tf.sum(tf.mul(oneHot, p), -1)));
      return tf.div(tf.sum(tf.mul(perStep, tensorOf(weights).reshape([8, 1]))), 40).asScalar();
    });
  });

  it('has the regularisers once, unscaled, recurrent ones included and frozen ones left out', async () => {
    const kernelRegularizer = tf.regularizers.l1l2({ l1: 0.01, l2: 0.02 });
    const model = tf.sequential({
      layers: [
        tf.layers.gru({ units: 2, kernelRegularizer, inputShape: [3, 2] }),
        tf.layers.dense({ units: 2, kernelRegularizer, trainable: false }),
        tf.layers.dense({ units: 1, kernelRegularizer }),
      ],
    });
    const batch = { x: [normal([8, 3, 2], 1)], y: [normal([8, 1], 2)] };
    const penalty = (kernel: tf.Tensor) =>
      tf.add(tf.mul(0.01, tf.sum(tf.abs(kernel))), tf.mul(0.02, tf.sum(tf.square(kernel))));
    await expectGradient(model, [out(losses.meanSquaredError())], batch, ([p]) => {
      const data = tf.losses.meanSquaredError(tensorOf(batch.y[0]), p) as tf.Scalar;
      const gru = model.layers[0].weights[0].read();
      const dense = model.layers[2].weights[0].read();
      return tf.addN([data, penalty(gru).asScalar(), penalty(dense).asScalar()]);
    });
  });

  it('is zero for a weight that the loss does not use, and leaves frozen weights out', async () => {
    const input = tf.input({ shape: [2] });
    const frozen = tf.layers.dense({ units: 3, trainable: false, name: 'frozen' });
    const used = tf.layers.dense({ units: 1, name: 'used' });
    const unused = tf.layers.dense({ units: 1, name: 'unused' });
    const hidden = frozen.apply(input) as tf.SymbolicTensor;
    const outputs = [used.apply(hidden) as tf.SymbolicTensor, unused.apply(hidden) as tf.SymbolicTensor];
    const model = tf.model({ inputs: input, outputs });
    const spec = specOf(model, {
      outputs: [out(losses.meanSquaredError(), 1, 'used'), out(losses.meanSquaredError(), 0, 'unused')],
    });
    const { program, manifest } = await createEagerProgram(spec, new Map());
    program.setWeights(randomizeWeights(model, 1));
    const batch = { x: [normal([4, 2], 1)], y: [normal([4, 1], 2), normal([4, 1], 3)] };
    const { gradient } = await runBatch(program, 'train', batch, 2);
    expect(gradient).toHaveLength(2 * (3 + 1));
    const of = (name: string) => {
      const weight = manifest.weights.find((candidate) => candidate.name === name);
      return gradient.subarray(weight?.offset, (weight?.offset ?? 0) + (weight?.size ?? 0));
    };
    expect(Array.from(of('unused/kernel'), Math.abs)).toEqual([0, 0, 0]);
    expect(Math.hypot(...of('used/kernel'))).toBeGreaterThan(0.01);
  });
});
