import { copyFileSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as tf from '@tensorflow/tfjs';
import { describe, expect, it } from 'vitest';
import { manifestOf } from '../../shared/manifest.js';
import type { ProgramSpec, ShardTask } from '../../shared/program.js';
import { emitterVersion } from '../../worker/compute/compiled/emitter-version.js';
import {
  canonicalText,
  digestOfModules,
  predictionKey,
  programText,
  programVersions,
  shardKey,
} from '../../worker/compute/compiled/step-key.js';
import { float32, normal, specOf } from './eager-fixture.js';

const builtin = (name: string, params = {}) => ({ kind: 'builtin', name, params }) as const;
const regularizer = () => tf.regularizers.l2({ l2: 0.01 });

interface Flaws {
  readonly dense?: object;
  readonly dropout?: object;
  readonly pool?: 'maxPooling1d' | 'averagePooling1d';
}

function netOf({ dense, dropout, pool = 'maxPooling1d' }: Flaws = {}): tf.LayersModel {
  const { layers } = tf;
  return tf.sequential({
    name: 'net',
    layers: [
      layers.conv1d({ inputShape: [8, 2], filters: 3, kernelSize: 3, name: 'conv' }),
      layers[pool]({ poolSize: 2, name: 'pool' }),
      layers.batchNormalization({ name: 'norm' }),
      layers.flatten({ name: 'flat' }),
      layers.dropout({ rate: 0.25, seed: 1, name: 'drop', ...dropout }),
      layers.dense({ units: 2, activation: 'relu', name: 'out', ...dense }),
    ],
  });
}

const mse = builtin('meanSquaredError');
const outputs = [{ name: 'out', loss: mse, lossWeight: 1 }];
const metric = { output: 0, metric: builtin('meanAbsoluteError'), weighted: false, label: 'mae' };

function textOf(flaws: Flaws = {}, given: Partial<ProgramSpec> = {}, provider: 'cpu' | 'cuda' = 'cpu') {
  const model = netOf(flaws);
  const spec = specOf(model, { outputs, metrics: [metric], ...given });
  return programText({ spec, manifest: manifestOf(model) }, provider);
}

describe('the key of a program', () => {
  it('is the same in another order, for another seed, and in the next process', () => {
    const { topology } = specOf(netOf(), { outputs });
    const turned = (value: unknown): unknown =>
      typeof value !== 'object' || value === null || Array.isArray(value)
        ? value
        : Object.fromEntries(Object.entries(value).reverse());
    expect(textOf({}, { topology: turned(topology), seed: 8 })).toBe(textOf());
    expect(textOf()).not.toContain('undefined');
  });

  it.each<[string, ...Parameters<typeof textOf>]>([
    ['an activation', { dense: { activation: 'elu' } }],
    ['a width', { dense: { units: 3 } }],
    ['a bias', { dense: { useBias: false } }],
    ['a layer that does not train', { dense: { trainable: false } }],
    ['a regulariser', { dense: { kernelRegularizer: regularizer() } }],
    ['a constraint', { dense: { kernelConstraint: tf.constraints.nonNeg() } }],
    ['the rate of a Dropout', { dropout: { rate: 0.5 } }],
    ['the seed of a Dropout', { dropout: { seed: 2 } }],
    ['a layer', { pool: 'averagePooling1d' }],
    ['a frozen layer', {}, { frozenLayers: ['out'] }],
    ['the loss', {}, { outputs: [{ name: 'out', loss: builtin('meanAbsoluteError'), lossWeight: 1 }] }],
    ['the weight of a loss', {}, { outputs: [{ name: 'out', loss: mse, lossWeight: 2 }] }],
    ['a metric', {}, { metrics: [{ ...metric, metric: builtin('meanSquaredError') }] }],
    ['the number of metrics', {}, { metrics: [] }],
    ['a metric that is weighted', {}, { metrics: [{ ...metric, weighted: true }] }],
    ['what computes', {}, {}, 'cuda'],
  ])('is another with %s changed', (_what, ...changed) => {
    expect(textOf(...changed)).not.toBe(textOf());
  });

  it('is another with a parameter of a loss or metric changed', () => {
    const of = (loss: object, delta: number) => {
      const ref = builtin('huber', { delta });
      return 'loss' in loss
        ? textOf({}, { outputs: [{ name: 'out', loss: ref, lossWeight: 1 }] })
        : textOf({}, { metrics: [{ ...metric, metric: ref }] });
    };
    for (const where of [{ loss: true }, {}]) expect(of(where, 1)).not.toBe(of(where, 2));
  });

  it('names the versions of all that traces, writes and runs steps, and is another with each', () => {
    const by = programVersions();
    expect(by).toMatchObject({
      emitter: emitterVersion,
      node: `${process.version} ${process.arch}`,
      'onnxruntime-node': '1.30.0',
    });
    expect(by.tfjs).toMatchObject({ tfjs: '4.22.0', 'tfjs-core': '4.22.0', 'tfjs-layers': '4.22.0' });
    const model = netOf();
    const program = { spec: specOf(model, { outputs }), manifest: manifestOf(model) };
    const keys = Object.keys(by).map((name) => programText(program, 'cpu', { ...by, [name]: 'another' }));
    expect(new Set([programText(program, 'cpu'), ...keys]).size).toBe(1 + Object.keys(by).length);
  });

  it('is another with any module changed, renamed or added', () => {
    const root = mkdtempSync(join(tmpdir(), 'lockstep-modules-'));
    const at = (name: string) => join(root, 'compute', name);
    try {
      mkdirSync(at('losses'), { recursive: true });
      writeFileSync(at('losses/hinge.ts'), 'a < b');
      const found = [digestOfModules(root, ['compute'], Infinity)];
      const look = () => found.push(digestOfModules(root, ['compute'], Infinity));
      writeFileSync(at('notes.txt'), 'no module');
      expect(digestOfModules(root, ['compute'], Infinity)).toBe(found[0]);
      writeFileSync(at('losses/hinge.ts'), 'a > b');
      look();
      copyFileSync(at('losses/hinge.ts'), at('hinge.ts'));
      look();
      rmSync(at('losses/hinge.ts'));
      look();
      expect(new Set(found).size).toBe(4);
      // Another may be running than lies there now.
      expect(() => digestOfModules(root, ['compute'])).toThrow('hinge.ts is newer than this process');
    } finally {
      rmSync(root, { recursive: true });
    }
  });
});

describe('the key of a step', () => {
  const y = [float32([4, 2], [0, 1, 0, 1, 0, 1, 0, 1])];
  const data = { x: [normal([4, 8, 2], 1)], y, sampleWeights: [null] };
  const task: ShardTask = { step: 0, shard: 1, batchRows: 8, data };
  const step = { functions: new Map(), regularizes: ({ shard }: { shard: number }) => shard === 0 };
  const keyOf = (given: Partial<ShardTask['data']> = {}, shard = 1, kind: 'train' | 'evaluate' = 'train') =>
    shardKey(step, kind, { ...task, shard, data: { ...data, ...given } });

  it('tells apart kinds, regularisation, shapes and the presence of sample weights', () => {
    const rows = { x: [normal([3, 8, 2], 1)], y: [float32([3, 2], [0, 1, 0, 1, 0, 1])] };
    const weights = { sampleWeights: [float32([4], [1, 2, 3, 4])] };
    const keys = [keyOf(), keyOf({}, 0), keyOf({}, 1, 'evaluate'), keyOf(rows), keyOf(weights)];
    keys.push(predictionKey(data.x), predictionKey(rows.x));
    expect(new Set(keys).size).toBe(keys.length);
  });

  it('is that of all shards of its shapes', () => {
    expect(keyOf({}, 2)).toBe(keyOf());
    expect(shardKey(step, 'train', { ...task, step: 9, batchRows: 7 })).toBe(keyOf());
  });
});

describe('the text of plain data', () => {
  it('tells apart what JSON does not', () => {
    const values = [
      0,
      -0,
      null,
      undefined,
      Number.NaN,
      Infinity,
      -Infinity,
      '0',
      'null',
      'NaN',
      [],
      {},
      '',
      [null],
    ];
    expect(new Set(values.map(canonicalText)).size).toBe(values.length);
    expect(canonicalText({ b: 1, a: [{ d: 'x', c: true }] })).toBe('{"a":[{"c":true,"d":"x"}],"b":1}');
    expect(canonicalText({ a: undefined })).not.toBe(canonicalText({}));
  });

  it('is refused for a function and an object of a class', () => {
    for (const value of [() => 1, [Symbol('s')], { a: new Float32Array(1) }, new Map()]) {
      expect(() => canonicalText(value)).toThrow(TypeError);
    }
  });
});
