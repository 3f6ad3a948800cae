import { writeFile } from 'node:fs/promises';
import { expect } from 'vitest';
import type { FaultPlan } from '../../chaos/plan.js';
import type { RunReport } from '../../coordinator/report.js';
import { bitsOf, fixtureJob, type TestRun, type Trained } from './test-run.js';

/** The data that a fault must not harm, and the job that trains the CNN with BatchNorm, dropout and Adam on it. */
export const datasets = [
  ['arrays', 'cnn'],
  ['a stream that a buffer shuffles', 'dry'],
] as const;

/** What each of these jobs needs: two epochs of five batches of four shards, and one of two. */
export const shardsOfRun = 2 * (5 * 4 + 2);

/** Options under which both jobs take 12 steps of at most four shards. */
export const decidedJob = (name: string, backend: 'wasm' | 'onnx' = 'wasm'): string[] => [
  fixtureJob(name),
  ...['--shards', '4', '--seed', '7', '--backend', backend],
];

/** Writes a plan for `--faults`. @returns its path */
export async function planOf(run: TestRun, faults: FaultPlan['faults']): Promise<string> {
  const file = run.at('plan.json');
  await writeFile(file, JSON.stringify({ faults }));
  return file;
}

/**
 * The run has the bits of the undisturbed one, every fault of its plan took effect, no process is left, and the work
 * was not simply done again: all that workers began, those that died included, is at most what the steps need, what
 * was outstanding at the faults, and what the report says was computed a second time on purpose. What a worker that
 * computes wrong numbers gave in the step in which it was found counts as outstanding.
 * @param shards what the steps need
 */
export async function expectExact(
  run: TestRun,
  { report, exitCode }: Trained,
  { reference, faults, shards = shardsOfRun }: { reference: Trained; faults: number; shards?: number },
): Promise<void> {
  expect(exitCode).toBe(0);
  expect(bitsOf({ report })).toEqual(bitsOf(reference));
  const { injectedFaults = [], shardsBegun, shardsDuplicated, shardsAudited } = report;
  expect(injectedFaults.map(({ tookEffect, what }) => [tookEffect, what])).toEqual(
    Array.from({ length: faults }, () => [true, expect.any(String)]),
  );
  const ordered = injectedFaults.reduce((sum, { outstandingShards }) => sum + outstandingShards, 0);
  const outstanding = report.excluded.length === 0 ? ordered : ordered + voidedIn(report);
  expect(shardsBegun).toBeGreaterThanOrEqual(shards);
  expect(shardsBegun).toBeLessThanOrEqual(shards + outstanding + shardsDuplicated + shardsAudited);
  expect(await run.running()).toEqual([]);
}

/** At most the shards of the one step in which a worker was excluded. */
function voidedIn({ shardsRecomputed }: RunReport): number {
  expect(shardsRecomputed).toBeLessThanOrEqual(4);
  return shardsRecomputed;
}

/**
 * The same bound where no plan counts: the job `interrupted` counts the shards that its workers begin, those that died
 * included, and what was outstanding at the faults is what the report says had to be given to others.
 * @param shards what the steps need
 */
export async function expectNotDoneAgain(
  run: TestRun,
  { report }: Pick<Trained, 'report'>,
  shards = shardsOfRun,
): Promise<void> {
  const begun = await run.begun();
  expect(begun).toBeGreaterThanOrEqual(shards);
  const { shardsRecomputed, shardsDuplicated, shardsAudited } = report;
  expect(begun).toBeLessThanOrEqual(shards + shardsRecomputed + shardsDuplicated + shardsAudited);
}
