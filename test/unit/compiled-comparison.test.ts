import * as tf from '@tensorflow/tfjs';
import { beforeEach, describe, expect, it, vi } from 'vitest';
import type { BuiltProgram } from '../../worker/compute/built-program.js';
import { createCompiledProgram } from '../../worker/compute/compiled/compiled-program.js';
import type { kernelTable } from '../../worker/compute/compiled/kernels/table.js';
import { normal, randomizeWeights, runBatch, specOf } from './eager-fixture.js';

// A table with a mistake: Tanh is mapped to what Sigmoid is.
vi.mock('../../worker/compute/compiled/kernels/table.js', async (load) => {
  const { kernelTable: table } = await load<{ kernelTable: typeof kernelTable }>();
  const wrong: typeof kernelTable = { ...table, Tanh: table.Sigmoid };
  return { kernelTable: wrong, mappingFor: (kernel: string) => wrong[kernel] };
});

beforeEach(async () => {
  await tf.setBackend('cpu');
});

const batch = { x: [normal([4, 3], 1)], y: [normal([4, 2], 2)] };

async function compiled(...layers: tf.layers.Layer[]): Promise<BuiltProgram> {
  const model = tf.sequential({ layers });
  const loss = { kind: 'builtin', name: 'meanSquaredError', params: {} } as const;
  const spec = specOf(model, { outputs: [{ name: 'output', loss, lossWeight: 1 }] });
  const built = await createCompiledProgram(spec, new Map(), 1);
  built.program.setWeights(randomizeWeights(model, 3));
  return built;
}

const dense = () => tf.layers.dense({ units: 2, inputShape: [3], activation: 'tanh' });

describe('a compiled step that computes something else than the model op by op', () => {
  it('is found out on made-up data, by its gradient and by what it predicts', async () => {
    const { tryOut } = await compiled(dense());
    expect(await tryOut?.(true)).toEqual({
      verdict: 'refused',
      reason: expect.stringMatching(
        /^compiled, the gradient of .*kernel differs from the model's op by op, by/,
      ),
    });
    expect(await tryOut?.(false)).toMatchObject({
      verdict: 'refused',
      reason: expect.stringContaining('the loss differs'),
    });
  });

  it('ends a run at the first shard that shows it, an evaluation and a prediction too', async () => {
    const { program } = await compiled(dense());
    const refusal = { code: 'MODEL_UNSUPPORTED', hint: expect.stringContaining('--backend wasm') };
    await expect(runBatch(program, 'train', batch, 1)).rejects.toMatchObject(refusal);
    await expect(runBatch(program, 'evaluate', batch, 1)).rejects.toMatchObject(refusal);
    await expect(program.predict(batch.x)).rejects.toMatchObject(refusal);
  });
});
