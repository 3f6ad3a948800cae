import { LockstepError } from '../../shared/errors.js';

/** @throws LockstepError BAD_OPTION unless `value` is null or a whole number of at least `least` */
export function checkWhole(name: string, value: number | null, least: number): void {
  if (value === null || (Number.isSafeInteger(value) && value >= least)) return;
  throw new LockstepError('BAD_OPTION', `${name} is ${value}, expected a whole number of at least ${least}`, {
    hint: `Give ${name} as a whole number.`,
  });
}
