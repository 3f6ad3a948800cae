import { writeFile } from 'node:fs/promises';
import { expect } from 'vitest';
import type { FaultPlan } from '../../chaos/plan.js';
import { bitsOf, type TestRun, type Trained } from './test-run.js';

/** Writes a plan for `--faults`. @returns its path */
export async function planOf(run: TestRun, faults: FaultPlan['faults']): Promise<string> {
  const file = run.at('plan.json');
  await writeFile(file, JSON.stringify({ faults }));
  return file;
}

/**
 * The run has the bits of the undisturbed one, every fault of its plan took effect, no process is left, and the work
 * was not simply done again: all that workers began, those that died included, is at most what the steps need, what
 * was outstanding at the faults, and what the report says was computed a second time on purpose.
 * @param shards what the steps need
 */
export async function expectExact(
  run: TestRun,
  { report, exitCode }: Trained,
  { reference, faults, shards }: { reference: Trained; faults: number; shards: number },
): Promise<void> {
  expect(exitCode).toBe(0);
  expect(bitsOf({ report })).toEqual(bitsOf(reference));
  const { injectedFaults = [], shardsBegun, shardsDuplicated, shardsAudited } = report;
  expect(injectedFaults.map(({ tookEffect, what }) => [tookEffect, what])).toEqual(
    Array.from({ length: faults }, () => [true, expect.any(String)]),
  );
  const outstanding = injectedFaults.reduce((sum, { outstandingShards }) => sum + outstandingShards, 0);
  expect(shardsBegun).toBeGreaterThanOrEqual(shards);
  expect(shardsBegun).toBeLessThanOrEqual(shards + outstanding + shardsDuplicated + shardsAudited);
  expect(await run.running()).toEqual([]);
}
