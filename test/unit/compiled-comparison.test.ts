import * as tf from '@tensorflow/tfjs';
import { expect, it, vi } from 'vitest';
import { createCompiledProgram } from '../../worker/compute/compiled/compiled-program.js';
import type { kernelTable } from '../../worker/compute/compiled/kernels/table.js';
import { normal, randomizeWeights, runBatch, specOf } from './eager-fixture.js';

// A table with a mistake: Tanh is mapped to what Sigmoid is.
vi.mock('../../worker/compute/compiled/kernels/table.js', async (load) => {
  const { kernelTable: table } = await load<{ kernelTable: typeof kernelTable }>();
  return { kernelTable: { ...table, Tanh: table.Sigmoid } };
});

it('is not trusted when its gradient is not that of the cpu backend', async () => {
  await tf.setBackend('cpu');
  const layer = tf.layers.dense({ units: 2, inputShape: [3], activation: 'tanh' });
  const model = tf.sequential({ layers: [layer] });
  const weights = randomizeWeights(model, 3);
  const outputs = [
    {
      name: 'output',
      loss: { kind: 'builtin', name: 'meanSquaredError', params: {} },
      lossWeight: 1,
    } as const,
  ];
  const { program } = await createCompiledProgram(specOf(model, { outputs }), new Map(), 1);
  program.setWeights(weights);
  const batch = { x: [normal([4, 3], 1)], y: [normal([4, 2], 2)] };
  await expect(runBatch(program, 'train', batch, 1)).rejects.toMatchObject({
    code: 'MODEL_UNSUPPORTED',
    message: expect.stringMatching(/computes differently: the gradient of .*kernel differs/),
  });
});
