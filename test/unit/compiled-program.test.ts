import * as tf from '@tensorflow/tfjs';
import { beforeAll, describe, expect, it, vi } from 'vitest';
import type { ShardPartial } from '../../shared/partial.js';
import { createCompiledProgram } from '../../worker/compute/compiled/compiled-program.js';
import { OnnxSession } from '../../worker/compute/compiled/onnx/runtime.js';
import { createEagerProgram } from '../../worker/compute/eager-program.js';
import { specOfZoo, zoo } from './compiled-zoo.js';
import { largestDifference, randomizeWeights, runBatch } from './eager-fixture.js';

beforeAll(async () => {
  await tf.setBackend('cpu');
});

const norm = (values: ArrayLike<number>): number => Math.hypot(...Array.from(values));

/** The largest difference, relative to the norm of what is expected. */
const relativeError = (actual: ArrayLike<number>, expected: ArrayLike<number>): number =>
  largestDifference(actual, expected) / (norm(expected) || 1);

function expectSamePartial(actual: ShardPartial, expected: ShardPartial): void {
  expect(relativeError(actual.gradient, expected.gradient)).toBeLessThan(2e-6);
  expect(relativeError(actual.sums, expected.sums)).toBeLessThan(2e-6);
  expect(actual.moments.length).toBe(expected.moments.length);
  actual.moments.forEach(({ batchNorm, count, mean, m2 }, i) => {
    expect([batchNorm, count]).toEqual([expected.moments[i].batchNorm, expected.moments[i].count]);
    expect(relativeError(mean, expected.moments[i].mean)).toBeLessThan(1e-5);
    expect(relativeError(m2, expected.moments[i].m2)).toBeLessThan(1e-5);
  });
  expect(actual.scores.length).toBe(expected.scores.length);
  actual.scores.forEach((list, i) => {
    expect(relativeError(list, expected.scores[i])).toBeLessThan(1e-6);
  });
}

describe('the compiled program', () => {
  for (const [name, entry] of Object.entries(zoo)) {
    it(`computes the shards of ${name} as the cpu backend does op by op`, async () => {
      const model = entry.build();
      const weights = randomizeWeights(model, 3);
      const spec = specOfZoo(model, entry);
      const { program: eager } = await createEagerProgram(spec, new Map());
      const { program: compiled } = await createCompiledProgram(spec, new Map(), 1);
      eager.setWeights(weights);
      compiled.setWeights(weights);
      const trained = await runBatch(eager, 'train', entry.batch, 2, 3);
      expect(norm(trained.gradient)).toBeGreaterThan(0.01);
      expectSamePartial(await runBatch(compiled, 'train', entry.batch, 2, 3), trained);
      const evaluated = await runBatch(eager, 'evaluate', entry.batch, 2);
      expectSamePartial(await runBatch(compiled, 'evaluate', entry.batch, 2), evaluated);
      const predicted = await eager.predict(entry.batch.x);
      (await compiled.predict(entry.batch.x)).forEach(({ shape, dtype, data }, i) => {
        expect([shape, dtype]).toEqual([predicted[i].shape, predicted[i].dtype]);
        expect(relativeError(data, predicted[i].data)).toBeLessThan(1e-6);
      });
      compiled.dispose();
    });
  }

  it('has one session for class numbers that are a vector and that are a column', async () => {
    const entry = zoo['an embedding with a 1-D convolution'];
    const model = entry.build();
    const { program } = await createCompiledProgram(specOfZoo(model, entry), new Map(), 1);
    program.setWeights(randomizeWeights(model, 3));
    const [labels] = entry.batch.y;
    const column = { ...entry.batch, y: [{ ...labels, shape: [...labels.shape, 1] }] };
    const expected = await runBatch(program, 'train', entry.batch, 1);
    const create = vi.spyOn(OnnxSession, 'create');
    expect(await runBatch(program, 'train', column, 1)).toEqual(expected);
    expect(create).not.toHaveBeenCalled();
    create.mockRestore();
    program.dispose();
  });

  it('computes into memory that it was given back, to the same bits', async () => {
    const entry = zoo['a CNN with BatchNormalization, pooling and dropout'];
    const model = entry.build();
    const { program } = await createCompiledProgram(specOfZoo(model, entry), new Map(), 1);
    program.setWeights(randomizeWeights(model, 3));
    const { gradient } = await runBatch(program, 'train', entry.batch, 1);
    const expected = gradient.slice();
    program.recycle?.(gradient.fill(Number.NaN));
    const again = await runBatch(program, 'train', entry.batch, 1);
    expect(again.gradient).toBe(gradient);
    expect(new Uint32Array(gradient.buffer)).toEqual(new Uint32Array(expected.buffer));
    expect((await runBatch(program, 'train', entry.batch, 1)).gradient).not.toBe(gradient);
    program.dispose();
  });
});
