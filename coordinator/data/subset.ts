import { LockstepError } from '../../shared/errors.js';
import type { Dataset } from './dataset.js';

/** Rows `[lo, hi)` of a dataset, as a dataset. */
export function subset(dataset: Dataset, lo: number, hi: number): Dataset {
  if (!(Number.isInteger(lo) && Number.isInteger(hi) && 0 <= lo && lo <= hi && hi <= dataset.length)) {
    throw new LockstepError('BAD_OPTION', `rows ${lo} to ${hi} of a dataset of ${dataset.length} rows`, {
      hint: 'Give 0 <= lo <= hi <= length.',
    });
  }
  return {
    length: hi - lo,
    ...(dataset.inMemory === undefined ? {} : { inMemory: dataset.inMemory }),
    batch: (indices) => dataset.batch(indices.map((index) => index + lo)),
  };
}

/**
 * Sets the last `fraction` of the rows apart, before any shuffling, as Keras's `validation_split` does.
 * @throws LockstepError BAD_OPTION unless both parts get a row
 */
export function splitDataset(dataset: Dataset, fraction: number): readonly [rest: Dataset, last: Dataset] {
  const at = Math.floor(dataset.length * (1 - fraction));
  if (!(fraction > 0 && fraction < 1) || at === 0 || at === dataset.length) {
    throw new LockstepError('BAD_OPTION', `validationSplit is ${fraction} of ${dataset.length} rows`, {
      hint: 'Use a fraction between 0 and 1 that leaves rows on both sides, for example 0.1.',
    });
  }
  return [subset(dataset, 0, at), subset(dataset, at, dataset.length)];
}
