import { type Reference, referenceOf } from './reference.js';
import { type Scenario, scenarioOf } from './scenario.js';
import { jobOf } from './tiny-job.js';
import { World } from './world.js';

const references = new Map<number, Reference>();

/** The undisturbed run of a job, computed once. */
export function referenceFor(variant: number): Reference {
  const found = references.get(variant) ?? referenceOf(jobOf(variant));
  references.set(variant, found);
  return found;
}

/** One run in so many sends its messages as bytes; the others hand them over, which takes half the time. */
const encodesEvery = 10;

export interface SimulateOptions {
  /** Whether messages travel as bytes. Default: by the seed. */
  readonly encodes?: boolean;
  readonly onTrace?: ((line: string) => void) | null;
  readonly scenario?: Partial<Scenario>;
}

/** Simulates the run of a seed. Rejects with what is wrong, if anything is. */
export async function simulate(
  seed: number,
  {
    encodes = Math.floor(seed / 2) % encodesEvery === 0,
    onTrace = null,
    scenario: changes,
  }: SimulateOptions = {},
): Promise<World> {
  const scenario = { ...scenarioOf(seed), ...changes };
  const world = new World({ scenario, reference: referenceFor(scenario.variant), encodes, onTrace });
  await world.run();
  return world;
}
