import * as tf from '@tensorflow/tfjs';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { KernelTable } from '../../worker/compute/compiled/kernels/kernel.js';
import { registerGradients } from '../../worker/compute/gradients/register.js';
import type { Case } from './compiled-cases.js';
import { compiled, distance, eagerly } from './compiled-reference.js';

/**
 * States that each case gives the same numbers compiled and on the cpu backend, for random shapes and attributes, and
 * that the cases leave no kernel of the tables out.
 */
export function describeKernels(
  family: string,
  tables: readonly KernelTable[],
  cases: Readonly<Record<string, fc.Arbitrary<Case>>>,
): void {
  const seen = new Set<string>();

  beforeAll(async () => {
    await tf.setBackend('cpu');
    registerGradients();
  });

  describe(`compiled ${family}`, () => {
    for (const [name, arbitrary] of Object.entries(cases)) {
      it(`compute ${name} as the cpu backend does`, async () => {
        await fc.assert(
          fc.asyncProperty(arbitrary, async ({ inputs, compute }) => {
            const expected = eagerly(compute, inputs);
            const actual = await compiled(compute, inputs, seen);
            actual.forEach(({ shape, dtype, data }, i) => {
              expect([shape, dtype]).toEqual([expected[i].shape, expected[i].dtype]);
              expect(distance(data, expected[i].data)).toBeLessThan(1e-5);
            });
          }),
          { numRuns: 15, seed: 1 },
        );
      });
    }
  });

  afterAll(() => {
    const missing = tables.flatMap((table) => Object.keys(table)).filter((kernel) => !seen.has(kernel));
    expect(missing, 'kernels whose mapping nothing compares').toEqual([]);
  });
}
