import * as tf from '@tensorflow/tfjs';
import { beforeAll, describe, expect, it } from 'vitest';
import { systemClock } from '../../shared/clock.js';
import { manifestOf } from '../../shared/manifest.js';
import type { ShardProgram } from '../../shared/program.js';
import { canaryData, canaryWeights, computeCanary } from '../../worker/compute/canary.js';
import { createEagerProgram } from '../../worker/compute/eager-program.js';
import { specOf } from './eager-fixture.js';

beforeAll(async () => {
  await tf.setBackend('cpu');
});

const sparse = {
  name: 'y',
  loss: { kind: 'builtin' as const, name: 'sparseCategoricalCrossentropy', params: {} },
  lossWeight: 1,
};

const cnn = (): tf.LayersModel =>
  tf.sequential({
    layers: [
      tf.layers.conv2d({ inputShape: [6, 6, 2], filters: 3, kernelSize: 3 }),
      tf.layers.batchNormalization(),
      tf.layers.dropout({ rate: 0.5 }),
      tf.layers.flatten(),
      tf.layers.dense({ units: 4, activation: 'softmax' }),
    ],
  });

describe('the canary shard', () => {
  it('has weights of (0.5 + u) / inputs of a unit, so small that no activation grows, and all positive', () => {
    const manifest = manifestOf(cnn());
    const flat = canaryWeights(manifest);
    expect(flat).toHaveLength(manifest.totalSize);
    for (const { offset, size, shape } of manifest.weights) {
      // Of the kernel [3, 3, 2, 3] a unit has 18 inputs, of [48, 4] it has 48; vectors count as one.
      const inputs = shape.length === 4 ? 18 : shape.length === 2 ? 48 : 1;
      for (const value of flat.subarray(offset, offset + size)) {
        expect(value).toBeGreaterThanOrEqual(Math.fround(0.5 / inputs));
        expect(value).toBeLessThanOrEqual(Math.fround(1.5 / inputs));
      }
    }
    expect(new Set(flat).size).toBeGreaterThan(0.9 * flat.length);
  });

  it('has inputs in [0, 1) of the shapes that the model takes, and class numbers for a sparse loss', () => {
    const data = canaryData(cnn(), { outputs: [sparse] }, 5);
    expect(data.x.map(({ shape }) => shape)).toEqual([[5, 6, 6, 2]]);
    expect([...data.x[0].data].every((value) => value >= 0 && value < 1)).toBe(true);
    expect(data.y[0]).toMatchObject({ dtype: 'int32', shape: [5] });
    expect([...data.y[0].data].every((value) => [0, 1, 2, 3].includes(value))).toBe(true);
    expect(data.sampleWeights).toEqual([null]);
    const dense = { ...sparse, loss: { ...sparse.loss, name: 'categoricalCrossentropy' } };
    expect(canaryData(cnn(), { outputs: [dense] }, 5).y[0]).toMatchObject({
      dtype: 'float32',
      shape: [5, 4],
    });
  });

  it('comes to the same bits in every program of the same job, and to others with another seed or more rows', async () => {
    const sha256 = async (seed: number, rows: number): Promise<string | undefined> => {
      const spec = { ...specOf(cnn(), { outputs: [sparse] }), seed };
      const { program, canary } = await createEagerProgram(spec, new Map());
      const computed = await canary?.(rows, systemClock);
      program.dispose();
      return computed?.sha256;
    };
    const first = await sha256(1, 4);
    expect(first).toMatch(/^[0-9a-f]{64}$/);
    expect(await sha256(1, 4)).toBe(first);
    // The dropout masks are others.
    expect(await sha256(2, 4)).not.toBe(first);
    expect(await sha256(1, 5)).not.toBe(first);
  });

  it('is refused by a device that disagrees with itself, and absent where the model cannot run', async () => {
    let calls = 0;
    const gives = (gradient: () => Float32Array): ShardProgram => ({
      setWeights() {},
      dispose() {},
      train: async () => ({ gradient: gradient(), sums: new Float64Array(1), moments: [], scores: [] }),
      evaluate: () => Promise.reject(new RangeError('not asked for')),
      predict: () => Promise.reject(new RangeError('not asked for')),
    });
    const ask = {
      weights: new Float32Array(1),
      data: () => ({ x: [], y: [], sampleWeights: [] }),
      rows: 1,
    };
    const flaky = gives(() => Float32Array.of(++calls));
    await expect(computeCanary(flaky, ask, systemClock)).rejects.toMatchObject({ code: 'NOT_DETERMINISTIC' });
    const failing = gives(() => {
      throw new RangeError('expected one-hot labels');
    });
    expect(await computeCanary(failing, ask, systemClock)).toBeNull();
    expect(
      await computeCanary(
        gives(() => Float32Array.of(Number.NaN)),
        ask,
        systemClock,
      ),
    ).toBeNull();
    expect(
      await computeCanary(
        gives(() => Float32Array.of(1)),
        ask,
        systemClock,
      ),
    ).toMatchObject({
      ms: expect.any(Number),
    });
  });
});
