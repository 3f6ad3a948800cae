import { LockstepError } from '../../shared/errors.js';
import { deriveSeed, Random } from '../../shared/random.js';

/**
 * The shards of a step that two workers compute, so that their bits are compared: each of the present ones with a
 * probability of `fraction`. They follow from the run's seed, so a resume and a repetition audit the same ones.
 */
export function auditedShards(
  { seed, fraction }: { readonly seed: number; readonly fraction: number },
  step: number,
  present: number,
): number[] {
  if (fraction === 0) return [];
  return Array.from({ length: present }, (_, shard) => shard).filter(
    (shard) => new Random(deriveSeed(seed, 'audit', step, shard)).next() < fraction,
  );
}

/** @throws LockstepError BAD_OPTION unless it is a number from 0 to 1 */
export function checkAuditFraction(fraction: number): void {
  if (typeof fraction === 'number' && fraction >= 0 && fraction <= 1) return;
  throw new LockstepError('BAD_OPTION', `auditFraction is ${fraction}, expected a number from 0 to 1`, {
    hint: 'It is the share of shards that are computed twice: 0.01 costs one percent more computing.',
  });
}
