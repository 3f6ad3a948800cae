import * as tf from '@tensorflow/tfjs';
import { beforeAll, describe, expect, it } from 'vitest';
import { canonicalModel } from '../../coordinator/loop/canonical-model.js';
import { manifestHash } from '../../shared/manifest-hash.js';
import { buildModel } from '../../worker/compute/build-model.js';

beforeAll(async () => {
  await tf.setBackend('cpu');
});

function unnamed(): tf.LayersModel {
  const a = tf.input({ shape: [3] });
  const b = tf.input({ shape: [2] });
  const left = tf.layers.dense({ units: 4, activation: 'relu' }).apply(a) as tf.SymbolicTensor;
  const right = tf.layers.dense({ units: 4 }).apply(b) as tf.SymbolicTensor;
  const inner = tf.sequential({ layers: [tf.layers.dense({ units: 4, inputShape: [4] })] });
  const joined = tf.layers.add().apply([inner.apply(left) as tf.SymbolicTensor, right]) as tf.SymbolicTensor;
  const normal = tf.layers.batchNormalization().apply(joined) as tf.SymbolicTensor;
  const outputs = [1, 2].map((units) => tf.layers.dense({ units }).apply(normal) as tf.SymbolicTensor);
  return tf.model({ inputs: [a, b], outputs });
}

describe('a canonical model', () => {
  it('is the same for the same model built twice, whatever was built before', () => {
    const first = canonicalModel(unnamed());
    for (let i = 0; i < 3; i++) tf.layers.dense({ units: 1 });
    const second = canonicalModel(unnamed());
    expect(second).toEqual(first);
    expect(JSON.stringify(second.topology)).toBe(JSON.stringify(first.topology));
  });

  it('numbers unnamed layers from 1 in the order of the model', () => {
    const { manifest, outputNames } = canonicalModel(unnamed());
    const kernels = manifest.weights.filter(({ name }) => name.endsWith('/kernel'));
    expect(kernels.map(({ name }) => name)).toHaveLength(5);
    expect(new Set(kernels.map(({ name }) => name))).toEqual(
      new Set([1, 2, 3, 4, 5].map((number) => `dense_Dense${number}/kernel`)),
    );
    expect(manifest.batchNorms[0].layer).toBe('batch_normalization_BatchNormalization1');
    expect(outputNames).toHaveLength(2);
    for (const name of outputNames) expect(name).toMatch(/^dense_Dense[1-5]$/);
  });

  it('keeps the names that the user gave, and never gives one of them to another layer', () => {
    const model = tf.sequential({
      layers: [
        tf.layers.dense({ units: 1, inputShape: [1] }),
        tf.layers.dense({ units: 1, name: 'head' }),
        tf.layers.dense({ units: 1, name: 'v2' }),
      ],
    });
    const { manifest } = canonicalModel(model);
    expect(manifest.weights.map(({ name }) => name)).toEqual([
      'dense_Dense1/kernel',
      'dense_Dense1/bias',
      'head/kernel',
      'head/bias',
      'v2/kernel',
      'v2/bias',
    ]);
  });

  it('keeps names that end in a number, as users number their layers', () => {
    const dense = (name: string, input: tf.SymbolicTensor) =>
      tf.layers.dense({ units: 1, name }).apply(input) as tf.SymbolicTensor;
    const input = tf.input({ shape: [1], name: 'pixels2' });
    const hidden = dense('dense3', input);
    const model = tf.model({ inputs: input, outputs: [dense('dense2', hidden), dense('out1', hidden)] });
    const { manifest, outputNames } = canonicalModel(model);
    expect(outputNames).toEqual(['dense2', 'out1']);
    expect(manifest.weights.map(({ name }) => name.split('/')[0])).toEqual(
      model.weights.map(({ originalName }) => originalName.split('/')[0]),
    );
  });

  it('never gives an unnamed layer the name of another', () => {
    // The input is unnamed; the layer has the name that it would get.
    const input = tf.input({ shape: [1] });
    const output = tf.layers.dense({ units: 1, name: 'input1' }).apply(input) as tf.SymbolicTensor;
    const { topology } = canonicalModel(tf.model({ inputs: input, outputs: output }));
    const { config } = topology as { config: { layers: { name: string }[] } };
    expect(config.layers.map(({ name }) => name)).toEqual(['input2', 'input1']);
  });

  it('has the manifest that a worker finds when it builds the topology', async () => {
    const model = unnamed();
    model.layers.find((layer) => layer.getClassName() === 'BatchNormalization')!.trainable = false;
    const { topology, manifest } = canonicalModel(model);
    const built = await buildModel({ topology, frozenLayers: manifest.frozenLayers });
    expect(built.manifest).toEqual(manifest);
    expect(manifestHash(built.manifest)).toBe(manifestHash(manifest));
  });

  it('does not touch the model', () => {
    const model = unnamed();
    const before = model.layers.map(({ name }) => name);
    canonicalModel(model);
    expect(model.layers.map(({ name }) => name)).toEqual(before);
  });

  it('is refused if it has no layers, with what to do', () => {
    expect(() => canonicalModel(tf.sequential())).toThrow(
      expect.objectContaining({ code: 'MODEL_UNSUPPORTED', hint: 'Give its first layer an inputShape.' }),
    );
  });
});
