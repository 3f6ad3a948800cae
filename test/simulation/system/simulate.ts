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

const receipts = new Map<number, ReadonlySet<string>>();

/** The receipts of a job's run with one worker, in which nothing goes wrong. */
async function receiptsFor(variant: number): Promise<ReadonlySet<string>> {
  const known = receipts.get(variant);
  if (known !== undefined) return known;
  const scenario = { ...scenarioOf(variant), variant, faults: [], auditFraction: 0, workerStartsMs: [0] };
  const reference = referenceFor(variant);
  const world = new World({ scenario, reference, encodes: false, receipts: null, onTrace: null });
  await world.run();
  receipts.set(variant, world.receipts.all);
  return world.receipts.all;
}

/** One run in so many sends its messages as bytes; the others hand them over, which takes half the time. */
const encodesEvery = 20;

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
  const { variant } = scenario;
  const receipts = await receiptsFor(variant);
  const world = new World({ scenario, reference: referenceFor(variant), encodes, receipts, onTrace });
  await world.run();
  return world;
}
