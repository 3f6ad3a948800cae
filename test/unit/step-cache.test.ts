import * as tf from '@tensorflow/tfjs';
import { describe, expect, it, vi } from 'vitest';
import { createCompiledProgram } from '../../worker/compute/compiled/compiled-program.js';
import { OnnxSession } from '../../worker/compute/compiled/onnx/runtime.js';
import { StepCache } from '../../worker/compute/compiled/step-cache.js';
import { normal, randomizeWeights, runBatch, specOf } from './eager-fixture.js';

describe('the cache of compiled steps', () => {
  it('lets go of the step that was used longest ago, and of all at the end', async () => {
    const disposed: string[] = [];
    const made: string[] = [];
    const cache = new StepCache<{ step: { dispose(): Promise<void> } }>(2);
    const use = (key: string) =>
      cache.get(key, async () => {
        made.push(key);
        return { step: { dispose: async () => void disposed.push(key) } };
      });
    for (const key of ['a', 'b', 'a', 'c', 'a']) await use(key);
    expect([made, disposed]).toEqual([['a', 'b', 'c'], ['b']]);
    await cache.dispose();
    expect(disposed).toEqual(['b', 'c', 'a']);
  });
});

describe('a compiled program', () => {
  it('makes one session per set of shapes, keeps 16 of them, and lets go of all when it is disposed', async () => {
    await tf.setBackend('cpu');
    const created = vi.spyOn(OnnxSession, 'create');
    const disposed = vi.spyOn(OnnxSession.prototype, 'dispose');
    const model = tf.sequential({ layers: [tf.layers.dense({ units: 2, inputShape: [3] })] });
    const loss = { kind: 'builtin', name: 'meanSquaredError', params: {} } as const;
    const spec = specOf(model, { outputs: [{ name: 'output', loss, lossWeight: 1 }] });
    const { program } = await createCompiledProgram(spec, new Map(), 1);
    program.setWeights(randomizeWeights(model, 3));
    const train = (rows: number) =>
      runBatch(program, 'train', { x: [normal([rows, 3], 1)], y: [normal([rows, 2], 2)] }, 1);
    for (let rows = 2; rows <= 25; rows++) await train(rows);
    expect([created.mock.calls.length, disposed.mock.calls.length]).toEqual([24, 8]);
    for (const rows of [25, 10, 25]) await train(rows);
    expect(created).toHaveBeenCalledTimes(24);
    program.dispose();
    await expect.poll(() => disposed.mock.calls.length).toBe(24);
  });

  it('writes each gradient into memory of its own, which is handed over as it is', async () => {
    await tf.setBackend('cpu');
    const model = tf.sequential({ layers: [tf.layers.dense({ units: 2, inputShape: [3] })] });
    const loss = { kind: 'builtin', name: 'meanSquaredError', params: {} } as const;
    const spec = specOf(model, { outputs: [{ name: 'output', loss, lossWeight: 1 }] });
    const { program } = await createCompiledProgram(spec, new Map(), 1);
    program.setWeights(randomizeWeights(model, 3));
    const batch = { x: [normal([4, 3], 1)], y: [normal([4, 2], 2)] };
    const into: unknown[] = [];
    const run = vi.spyOn(OnnxSession.prototype, 'run');
    const task = { step: 0, shard: 0, batchRows: 4, data: { ...batch, sampleWeights: [null] } };
    const [first, second] = [await program.train(task), await program.train(task)];
    for (const [, outputs] of run.mock.calls) into.push(...Object.values(outputs).map(({ data }) => data));
    expect(first.gradient).toEqual(second.gradient);
    expect(first.gradient.buffer).not.toBe(second.gradient.buffer);
    const written = new Set(into.map((data) => (data as Float32Array).buffer));
    for (const { gradient } of [first, second]) {
      expect(gradient.byteLength).toBe(gradient.buffer.byteLength);
      expect(written.has(gradient.buffer)).toBe(true);
    }
    program.dispose();
  });
});
