import { expect } from 'vitest';
import { runCampaign } from './run-campaign.js';

/** How many runs in all; the two halves run beside each other. LOCKSTEP_SIMULATION_RUNS=N makes more of them. */
const runs = Number(process.env.LOCKSTEP_SIMULATION_RUNS ?? 10_000);

/** Several times what it takes where nothing else runs, and still a limit. */
export const simulationTimeoutMs = 60_000 + runs * 50;

/** Simulates every second seed, and prints how many faults took effect where. */
export async function simulateHalf(half: 0 | 1): Promise<void> {
  const report = await runCampaign({ first: half, every: 2, runs: Math.floor(runs / 2) });
  if (report.status === 'broken') throw new RangeError(report.error);
  const { effects, encoded, steps } = report;
  const seconds = (report.processorMs / 1_000).toFixed(0);
  const title = `${report.runs} runs, ${steps} steps, ${encoded} of the runs in bytes, ${seconds} s of processor time: faults that took effect`;
  process.stdout.write(`\n${title}\n${effects}\n`);
  expect(report.runs).toBe(Math.floor(runs / 2));
  expect(report.fewestSteps).toBeGreaterThanOrEqual(20);
  expect(encoded).toBeGreaterThanOrEqual(Math.floor(report.runs / 20));
  // Rare cells need many runs.
  if (runs >= 5_000) expect(effects.empty()).toEqual([]);
}
