import { describe, expect, it } from 'vitest';
import { messageOf } from '../../shared/errors.js';
import { FaultyRun, type FaultyRunReport } from './faulty-run.js';

// LOCKSTEP_SIMULATION_SEED=N replays one run and prints what happens; LOCKSTEP_SIMULATION_RUNS=N makes more of them.
const { LOCKSTEP_SIMULATION_SEED: only, LOCKSTEP_SIMULATION_RUNS: runs = '2000' } = process.env;

function simulate(seed: number): FaultyRunReport {
  try {
    return new FaultyRun(seed, only === undefined ? null : console.log).run();
  } catch (error) {
    const replay = `LOCKSTEP_SIMULATION_SEED=${seed} npx vitest run --project simulation faulty-runs`;
    throw new RangeError(`seed ${seed}: ${messageOf(error)}\nreplay with: ${replay}`, { cause: error });
  }
}

const seeds = only === undefined ? Array.from({ length: Number(runs) }, (_, i) => i) : [Number(only)];

describe('a run in which workers join, die, fall silent, repeat themselves and invent partials', () => {
  it('completes every round once, with the bits of the undisturbed sum', () => {
    const totals = { rounds: 0, joined: 0, lost: 0, evicted: 0, rejected: 0, recomputed: 0, virtualMs: 0 };
    for (const seed of seeds) {
      const report = simulate(seed);
      for (const key of Object.keys(totals) as (keyof FaultyRunReport)[]) totals[key] += report[key];
    }
    if (only !== undefined) return console.log(totals);
    // The storms were real: each kind of fault happened, in numbers.
    expect(totals.lost).toBeGreaterThan(seeds.length);
    expect(totals.evicted).toBeGreaterThan(seeds.length / 10);
    expect(totals.rejected).toBeGreaterThan(seeds.length);
    expect(totals.recomputed).toBeGreaterThan(seeds.length);
  });

  it('goes the same way each time: everything follows from the seed', () => {
    const trace = (seed: number): string[] => {
      const lines: string[] = [];
      new FaultyRun(seed, (line) => lines.push(line)).run();
      return lines;
    };
    for (const seed of [1, 2, 3]) expect(trace(seed)).toEqual(trace(seed));
    expect(trace(1)).not.toEqual(trace(2));
  });
});
