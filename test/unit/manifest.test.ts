import * as tf from '@tensorflow/tfjs';
import { beforeAll, describe, expect, it } from 'vitest';
import {
  flatten,
  freezeLayers,
  layersOf,
  type Manifest,
  manifestOf,
  unflatten,
} from '../../shared/manifest.js';
import { manifestHash } from '../../shared/manifest-hash.js';

beforeAll(async () => {
  await tf.setBackend('cpu');
});

const layout = ({ weights }: Manifest) =>
  weights.map(({ name, size, trainable, offset }) => [name, size, trainable, offset]);

function net(): tf.Sequential {
  return tf.sequential({
    layers: [
      tf.layers.dense({ units: 3, inputShape: [2], name: 'first' }),
      tf.layers.batchNormalization({ name: 'bn', momentum: 0.8 }),
      tf.layers.dense({ units: 1, name: 'last' }),
    ],
  });
}

describe('the manifest', () => {
  it('lists the weights in the order of getWeights, and lays trainable ones first', () => {
    const model = net();
    const manifest = manifestOf(model);
    // By hand: 6 + 3, gamma and beta 3 each, 3 + 1 train; then the moving statistics.
    expect(layout(manifest)).toEqual([
      ['first/kernel', 6, true, 0],
      ['first/bias', 3, true, 6],
      ['bn/gamma', 3, true, 9],
      ['bn/beta', 3, true, 12],
      ['last/kernel', 3, true, 15],
      ['last/bias', 1, true, 18],
      ['bn/moving_mean', 3, false, 19],
      ['bn/moving_variance', 3, false, 22],
    ]);
    expect(manifest.weights.map(({ shape }) => shape)).toEqual(model.getWeights().map(({ shape }) => shape));
    expect(manifest).toMatchObject({ trainableSize: 19, totalSize: 25, frozenLayers: [] });
    expect(manifest.batchNorms).toEqual([{ layer: 'bn', momentum: 0.8, channels: 3, mean: 6, variance: 7 }]);
  });

  it('lays the weights of a frozen layer behind those that train', () => {
    const model = net();
    model.layers[0].trainable = false;
    const manifest = manifestOf(model);
    const offsets = new Map(manifest.weights.map(({ name, offset }) => [name, offset]));
    expect(offsets.get('bn/gamma')).toBe(0);
    expect(offsets.get('last/bias')).toBe(9);
    expect(manifest.trainableSize).toBe(10);
    expect(manifest.frozenLayers).toEqual(['first']);
    // Whatever the layout, every element of the flat vector belongs to one weight.
    const covered = manifest.weights.flatMap(({ offset, size }) =>
      Array.from({ length: size }, (_, i) => offset + i),
    );
    expect(covered.sort((a, b) => a - b)).toEqual(Array.from({ length: 25 }, (_, i) => i));
  });

  it('has no statistics to update for a frozen BatchNormalization', () => {
    const model = net();
    model.layers[1].trainable = false;
    const manifest = manifestOf(model);
    expect(manifest.batchNorms).toEqual([]);
    expect(manifest.weights.find(({ name }) => name === 'bn/gamma')?.trainable).toBe(false);
  });

  it('goes through nested models and wrappers, and freezes what is in a frozen one', () => {
    const inner = tf.sequential({
      name: 'inner',
      layers: [
        tf.layers.dense({ units: 2, inputShape: [2], name: 'd' }),
        tf.layers.batchNormalization({ name: 'n' }),
      ],
    });
    const input = tf.input({ shape: [3, 2], name: 'in' });
    const wrapped = tf.layers.timeDistributed({ layer: inner, name: 'each' }).apply(input);
    const output = tf.layers
      .dense({ units: 1, name: 'out' })
      .apply(tf.layers.flatten({ name: 'flat' }).apply(wrapped)) as tf.SymbolicTensor;
    const model = tf.model({ inputs: input, outputs: output });
    expect(layersOf(model).map(({ path }) => path)).toEqual(
      expect.arrayContaining(['in', 'each', 'each/inner', 'each/inner/d', 'each/inner/n', 'flat', 'out']),
    );
    expect(manifestOf(model).batchNorms.map(({ layer }) => layer)).toEqual(['each/inner/n']);
    inner.trainable = false;
    const frozen = manifestOf(model);
    expect(frozen.trainableSize).toBe(6 + 1);
    expect(frozen.batchNorms).toEqual([]);
    expect(frozen.frozenLayers).toEqual(
      expect.arrayContaining(['each/inner', 'each/inner/d', 'each/inner/n']),
    );
    expect(frozen.frozenLayers).not.toContain('out');
  });

  it('names weights apart that have one name', () => {
    const shared = tf.layers.dense({ units: 2, name: 'd', inputShape: [2] });
    const model = tf.sequential({ layers: [shared, tf.layers.dense({ units: 2, name: 'e' })] });
    const names = manifestOf(model).weights.map(({ name }) => name);
    expect(new Set(names).size).toBe(names.length);
  });

  it.each([
    [
      'a stateful layer',
      () => tf.layers.lstm({ units: 2, batchInputShape: [2, 3, 1], stateful: true, name: 'memory' }),
      /memory is stateful/,
    ],
  ])('refuses %s', (_what, layer, message) => {
    expect(() => manifestOf(tf.sequential({ layers: [layer()] }))).toThrow(message);
  });

  it('freezes another process’s model exactly as it says', () => {
    const model = net();
    model.layers[1].trainable = false;
    const { frozenLayers } = manifestOf(model);
    const other = net();
    other.layers[2].trainable = false;
    freezeLayers(other, frozenLayers);
    expect(manifestOf(other)).toEqual(manifestOf(model));
  });
});

describe('the hash of a manifest', () => {
  const base = manifestOf(net());

  it('is the same for the same model, and another for any other', () => {
    expect(manifestHash(manifestOf(net()))).toBe(manifestHash(base));
    const frozen = net();
    frozen.layers[2].trainable = false;
    const weight = { ...base.weights[0] };
    const others: Manifest[] = [
      manifestOf(frozen),
      { ...base, weights: [{ ...weight, shape: [3, 2] }, ...base.weights.slice(1)] },
      { ...base, weights: [{ ...weight, name: 'other/kernel' }, ...base.weights.slice(1)] },
      { ...base, batchNorms: [{ ...base.batchNorms[0], momentum: 0.9 }] },
    ];
    for (const other of others) expect(manifestHash(other)).not.toBe(manifestHash(base));
  });
});

describe('the flat vector', () => {
  it('holds each weight where the manifest says, and gives it back', () => {
    const manifest = manifestOf(net());
    const values = manifest.weights.map(({ size }, index) => new Float32Array(size).fill(index + 1));
    const flat = flatten(manifest, values);
    expect(Array.from(flat.subarray(0, 9))).toEqual([1, 1, 1, 1, 1, 1, 2, 2, 2]);
    expect(Array.from(flat.subarray(19))).toEqual([7, 7, 7, 8, 8, 8]);
    const views = unflatten(manifest, flat);
    expect(views).toEqual(values);
    views[0][0] = 42;
    expect(flat[0]).toBe(42);
  });
});
