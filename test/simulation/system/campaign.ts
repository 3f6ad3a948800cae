import { messageOf } from '../../../shared/errors.js';
import { simulate } from './simulate.js';
import { EffectTable } from './table.js';

export interface CampaignReport {
  readonly runs: number;
  readonly steps: number;
  readonly fewestSteps: number;
  /** Runs in which messages travelled as bytes. */
  readonly encoded: number;
  readonly effects: EffectTable;
  readonly virtualMs: number;
}

/** A run that went wrong, with the command that replays it. */
export class FailedRun extends RangeError {
  readonly seed: number;

  constructor(seed: number, cause: unknown) {
    super(`seed ${seed}: ${messageOf(cause)}\nreplay with: npm run simulate -- --seed ${seed}`, { cause });
    this.seed = seed;
  }
}

/**
 * Simulates the runs of these seeds, one after the other.
 * @throws FailedRun for the first run that breaks a promise
 */
export async function campaign(seeds: Iterable<number>): Promise<CampaignReport> {
  const effects = new EffectTable();
  let runs = 0;
  let steps = 0;
  let encoded = 0;
  let virtualMs = 0;
  let fewestSteps = Number.POSITIVE_INFINITY;
  for (const seed of seeds) {
    const world = await simulate(seed).catch((error: unknown) => {
      throw new FailedRun(seed, error);
    });
    effects.merge(world.faults.effects);
    runs += 1;
    steps += world.steps;
    fewestSteps = Math.min(fewestSteps, world.steps);
    virtualMs += world.clock.nowMs();
    if (world.encodes) encoded += 1;
  }
  return { runs, steps, fewestSteps, encoded, effects, virtualMs };
}
