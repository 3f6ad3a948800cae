import type { Random } from '../../shared/random.js';

/** How likely each thing is that can go wrong: some runs are calm, some are storms. */
export interface Weather {
  /** Per shard that is computed. */
  readonly death: number;
  readonly silence: number;
  /** Per partial that is sent. */
  readonly duplicate: number;
  readonly stale: number;
  readonly nonsense: number;
  readonly lostOnLine: number;
}

export function weatherOf(random: Random): Weather {
  const storm = random.next();
  const chance = (most: number): number => storm * most * random.next();
  return {
    death: chance(0.6),
    silence: chance(0.3),
    duplicate: chance(0.5),
    stale: chance(0.5),
    nonsense: chance(0.5),
    lostOnLine: chance(0.3),
  };
}
