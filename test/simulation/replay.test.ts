import { describe, expect, it } from 'vitest';
import type { Fault } from './system/faults.js';
import { countsEachSampleOnce } from './system/reference.js';
import { referenceFor, simulate } from './system/simulate.js';
import { jobVariants } from './system/tiny-job.js';

async function traceOf(seed: number, encodes: boolean): Promise<string[]> {
  const lines: string[] = [];
  await simulate(seed, { encodes, onTrace: (line) => lines.push(line) });
  return lines;
}

describe('a simulated run', () => {
  it.each([true, false])('goes the same way each time it is replayed; as bytes: %s', async (encodes) => {
    for (const seed of [1, 2, 3, 4, 5])
      expect(await traceOf(seed, encodes)).toEqual(await traceOf(seed, encodes));
    expect(await traceOf(1, encodes)).not.toEqual(await traceOf(2, encodes));
  });

  it('commits the same steps whether or not it is disturbed', async () => {
    const calm = await simulate(7, { scenario: { faults: [] } });
    expect(calm.steps).toBe(calm.reference.steps);
    expect(calm.faults.effects.total).toBe(0);
  });

  it('saves what callbacks knew before a step whose only result is not finite ends the run', async () => {
    const fault: Fault = { kind: 'result not finite', phase: 'computing', fromStep: 3, skip: 0, choice: 0 };
    const lines: string[] = [];
    const scenario = { workerStartsMs: [0], auditFraction: 0, faults: [fault] };
    await simulate(1, { scenario, onTrace: (line) => lines.push(line) });
    expect(lines.filter((line) => line.includes('failed: step'))).toEqual([
      expect.stringMatching(/failed: step \d+ is not finite/),
    ]);
  });
});

describe('the undisturbed run that others are compared with', () => {
  it.each(Array.from({ length: jobVariants }, (_, variant) => variant))(
    'has at least 20 steps and counts each sample once in each epoch: job %i',
    (variant) => {
      const reference = referenceFor(variant);
      expect(reference.steps).toBeGreaterThanOrEqual(20);
      expect(countsEachSampleOnce(reference)).toBe(true);
    },
  );
});
