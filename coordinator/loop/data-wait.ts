import { type Clock, systemClock } from '../../shared/clock.js';

/** Data that takes longer is spoken of, and again as often as this. */
const patienceMs = 10_000;
const repeatMs = 60_000;

export interface DataWait {
  /** What is waited for, for people: `the data of step 12`. */
  readonly what: string;
  readonly signal: AbortSignal | null;
  readonly onWaiting: (reason: string) => void;
  readonly clock?: Clock;
}

/**
 * Waits for something that user code gives: as long as it takes, for data may be slow, but never in silence, and
 * not a moment longer once `signal` is aborted. `work` is then left to itself.
 */
export async function waitForData<T>(
  work: Promise<T>,
  { what, signal, onWaiting, clock = systemClock }: DataWait,
): Promise<{ readonly value: T } | 'aborted'> {
  const startedMs = clock.nowMs();
  const say = (): void => {
    onWaiting(`waiting for ${what}, ${((clock.nowMs() - startedMs) / 1_000).toFixed(1)} s`);
  };
  let cancelRepeat = (): void => {};
  const cancelFirst = clock.after(patienceMs, () => {
    say();
    cancelRepeat = clock.every(repeatMs, say);
  });
  let onAbort = (): void => {};
  const aborted = new Promise<'aborted'>((resolve) => {
    // A turn later: what is there already is taken, whatever the signal says.
    onAbort = () => void setImmediate(() => resolve('aborted'));
    signal?.addEventListener('abort', onAbort);
    if (signal?.aborted) onAbort();
  });
  try {
    return await Promise.race([work.then((value) => ({ value })), aborted]);
  } finally {
    cancelFirst();
    cancelRepeat();
    signal?.removeEventListener('abort', onAbort);
  }
}
