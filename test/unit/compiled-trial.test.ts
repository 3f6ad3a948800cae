import * as tf from '@tensorflow/tfjs';
import { beforeAll, describe, expect, it } from 'vitest';
import { loadBackend } from '../../worker/backend/select.js';
import { createCompiledProgram } from '../../worker/compute/compiled/compiled-program.js';
import { zoo } from './compiled-zoo.js';
import { specOf } from './eager-fixture.js';

beforeAll(async () => {
  await loadBackend({ backend: 'wasm', threads: 1 });
});

describe('the trial of a compiled program', () => {
  it.each(Object.entries(zoo))('trusts %s on the word of the wasm backend', async (_, entry) => {
    const model = entry.build();
    const outputs = entry.losses.map((loss, index) => ({ name: `output${index}`, loss, lossWeight: 1 }));
    const { program, tryOut } = await createCompiledProgram(specOf(model, { outputs }), new Map(), 1);
    expect(await tryOut?.(true)).toEqual({ verdict: 'fits' });
    expect(await tryOut?.(false)).toEqual({ verdict: 'fits' });
    program.dispose();
  });

  it('refuses a loss that reads what is computed, and cannot tell where made-up data is not what it takes', async () => {
    const model = tf.sequential({ layers: [tf.layers.dense({ units: 2, inputShape: [3] })] });
    const trialOf = async (custom: (y: tf.Tensor, p: tf.Tensor) => tf.Tensor) => {
      const loss = { kind: 'job', key: 'loss', name: 'custom' } as const;
      const spec = specOf(model, { outputs: [{ name: 'output', loss, lossWeight: 1 }] });
      const { tryOut } = await createCompiledProgram(spec, new Map([['loss', custom]]), 1);
      return tryOut?.(true);
    };
    const errors = (y: tf.Tensor, p: tf.Tensor) => tf.mean(tf.squaredDifference(y, p), -1);
    const reading = await trialOf((y, p) =>
      tf.max(p).dataSync()[0] > 1 ? tf.neg(errors(y, p)) : errors(y, p),
    );
    expect(reading).toEqual({
      verdict: 'refused',
      reason: expect.stringContaining('depends on values that it computes'),
    });
    const choosy = await trialOf(() => {
      throw new RangeError('labels of a kind');
    });
    expect(choosy).toEqual({ verdict: 'unknown', reason: 'labels of a kind' });
  });

  it('asks the cpu backend where wasm lacks a kernel', async () => {
    const model = tf.sequential({
      layers: [tf.layers.dense({ units: 2, inputShape: [3], activation: 'tanh' })],
    });
    const loss = { kind: 'builtin', name: 'meanSquaredError', params: {} } as const;
    const spec = specOf(model, { outputs: [{ name: 'output', loss, lossWeight: 1 }] });
    const { program, tryOut } = await createCompiledProgram(spec, new Map(), 1);
    const kernel = tf.getKernel('Tanh', 'wasm');
    tf.unregisterKernel('Tanh', 'wasm');
    try {
      expect(await tryOut?.(true)).toEqual({ verdict: 'fits' });
      expect(tf.getBackend()).toBe('cpu');
    } finally {
      tf.registerKernel(kernel);
      program.dispose();
    }
  });
});
