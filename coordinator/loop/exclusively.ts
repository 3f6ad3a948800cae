import { LockstepError } from '../../shared/errors.js';
import type { ClusterAccess } from '../cluster.js';
import type { Conductor } from '../conductor.js';

/** What the workers of a cluster are doing. */
const occupied = new WeakMap<Conductor, string>();

/**
 * Does `work` with a cluster's workers, which hold one program at a time. It is refused rather than queued while
 * they do something else: a callback of that would wait for its own end.
 * @param what for people: `fit`, `evaluate`…
 * @throws LockstepError BAD_OPTION
 */
export async function exclusively<T>(
  { conductor }: ClusterAccess,
  what: string,
  work: () => Promise<T>,
): Promise<T> {
  const present = occupied.get(conductor);
  if (present !== undefined) {
    throw new LockstepError('BAD_OPTION', `${what} while ${present} of the same cluster is under way`, {
      hint: `Wait for ${present} first; in a callback, use validation data or a second cluster.`,
    });
  }
  occupied.set(conductor, what);
  try {
    return await work();
  } finally {
    occupied.delete(conductor);
  }
}
