import { createHash } from 'node:crypto';
import * as tf from '@tensorflow/tfjs';
import { describe, expect, it } from 'vitest';
import { type HashedState, stateSha256, weightsSha256 } from '../../coordinator/checkpoint/hashes.js';
import { flatten, type Manifest, manifestOf } from '../../shared/manifest.js';

const sha256 = (...parts: (string | Buffer)[]) => {
  const hash = createHash('sha256');
  for (const part of parts) hash.update(part);
  return hash.digest('hex');
};

const manifest: Manifest = {
  weights: [
    { name: 'norm/mean', shape: [1], size: 1, trainable: false, offset: 2 },
    { name: 'dense/kernel', shape: [2], size: 2, trainable: true, offset: 0 },
  ],
  trainableSize: 2,
  totalSize: 3,
  batchNorms: [],
  frozenLayers: [],
};

const state: HashedState = {
  manifest,
  flat: Float32Array.of(1, -0, 2),
  slots: new Map([['dense/kernel', { v: Float32Array.of(3, 4), m: Float32Array.of(5, 6) }]]),
  tensors: { sums: Float64Array.of(0.1) },
  step: 12,
  epoch: 1,
  cursor: { position: 64 },
  iteration: 12,
  learningRate: null,
  callbacks: { stop: { wait: 1, best: Number.POSITIVE_INFINITY, '~offset': 99 } },
};

describe('weightsSha256', () => {
  it('is the sha256 of the bytes of model.getWeights() in order', () => {
    const model = tf.sequential({
      layers: [
        tf.layers.dense({ inputShape: [3], units: 2, trainable: false }),
        tf.layers.batchNormalization(),
        tf.layers.dense({ units: 1 }),
      ],
    });
    const values = model.getWeights().map((weight) => weight.dataSync() as Float32Array);
    const bytes = values.map((value) => {
      const buffer = Buffer.alloc(value.length * 4);
      for (const [i, element] of value.entries()) buffer.writeFloatLE(element, i * 4);
      return buffer;
    });
    const described = manifestOf(model);
    expect(weightsSha256(described, flatten(described, values))).toBe(sha256(...bytes));
  });
});

describe('stateSha256', () => {
  it('is the sha256 of the documented bytes', () => {
    const json =
      '{"callbacks":{"stop":{"best":{"$number":"Infinity"},"wait":1}},"cursor":{"position":64},"epoch":1,' +
      '"iteration":12,"learningRate":null,"step":12}';
    const expected = sha256(
      'lockstep state 1\n',
      `${json}\n`,
      'slots/dense/kernel/m F32 2\n',
      Buffer.from('0000a0400000c040', 'hex'),
      'slots/dense/kernel/v F32 2\n',
      Buffer.from('0000404000008040', 'hex'),
      'tensors/sums F64 1\n',
      Buffer.from('9a9999999999b93f', 'hex'),
      'weights/dense/kernel F32 2\n',
      Buffer.from('0000803f00000080', 'hex'),
      'weights/norm/mean F32 1\n',
      Buffer.from('00000040', 'hex'),
    );
    expect(stateSha256(state)).toBe(expected);
  });

  it('changes with every part of the state, to the last bit', () => {
    const variants: HashedState[] = [
      state,
      { ...state, flat: Float32Array.of(1, 0, 2) },
      { ...state, flat: Float32Array.of(1, -0, 2.0000002384185791) },
      {
        ...state,
        slots: new Map([['dense/kernel', { m: Float32Array.of(3, 4), v: Float32Array.of(5, 6) }]]),
      },
      { ...state, slots: new Map() },
      { ...state, tensors: { sums: Float64Array.of(0.1 + 2 ** -56) } },
      { ...state, tensors: { other: Float64Array.of(0.1) } },
      { ...state, step: 13 },
      { ...state, epoch: 2 },
      { ...state, cursor: null },
      { ...state, iteration: 11 },
      { ...state, learningRate: 0.1 },
      { ...state, callbacks: { stop: { wait: 2, best: Number.POSITIVE_INFINITY } } },
      { ...state, callbacks: {} },
    ];
    expect(new Set(variants.map(stateSha256)).size).toBe(variants.length);
  });

  it('depends neither on insertion order nor on what belongs to this machine', () => {
    const same: HashedState = {
      ...state,
      slots: new Map([['dense/kernel', { m: Float32Array.of(5, 6), v: Float32Array.of(3, 4) }]]),
      callbacks: { stop: { '~offset': 5, best: Number.POSITIVE_INFINITY, wait: 1 } },
    };
    expect(stateSha256(same)).toBe(stateSha256(state));
  });
});
