import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { plantedBugs } from './planted/bugs.js';
import { runCampaign } from './run-campaign.js';

const path = fileURLToPath(new URL('./planted/plant.mjs', import.meta.url));
/** Each bug is found within so many runs. */
const runs = 300;

describe('the simulation of whole runs', () => {
  it.each(plantedBugs)(
    'finds that $name',
    async (bug) => {
      const preload = { path, env: { LOCKSTEP_PLANTED_BUG: JSON.stringify(bug) } };
      const result = await runCampaign({ first: 0, every: 1, runs, preload });
      expect(result).toMatchObject({
        status: 'broken',
        error: expect.stringContaining(`planted: ${bug.name}`),
      });
      expect(result).toMatchObject({ error: expect.stringMatching(/^seed \d+: I[1-5]: /m) });
    },
    300_000,
  );
});
