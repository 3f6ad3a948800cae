import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { plantedBugs } from './planted/bugs.js';
import { runCampaign } from './run-campaign.js';
import { simulate } from './system/simulate.js';

const path = fileURLToPath(new URL('./planted/plant.mjs', import.meta.url));
/** Each bug is found within so many runs. */
const runs = 300;
/** The search ends at the first promise that is broken. */
const searchTimeoutMs = 60_000;

/** Seeds of the runs in which bugs were found. */
const found = new Set<number>();

describe('the simulation of whole runs', () => {
  it.each(plantedBugs)(
    'finds that $name',
    async (bug) => {
      const preload = { path, env: { LOCKSTEP_PLANTED_BUG: JSON.stringify(bug) } };
      const result = await runCampaign({ first: bug.firstSeed ?? 0, every: 1, runs, preload });
      expect(result).toMatchObject({
        status: 'broken',
        error: expect.stringContaining(`planted: ${bug.name}`),
      });
      const finding = bug.isLoud ? /^seed (\d+): .*this is a bug in Lockstep/m : /^seed (\d+): I[1-5]: /m;
      const broken = finding.exec(result.status === 'broken' ? result.error : '');
      expect(broken).not.toBeNull();
      found.add(Number(broken?.[1]));
    },
    searchTimeoutMs,
  );

  it(
    'finds nothing in the same runs without a bug',
    async () => {
      expect(found.size).toBeGreaterThan(0);
      for (const seed of found) await simulate(seed);
    },
    searchTimeoutMs,
  );
});
