import type { RunEvent, RunListener } from '../coordinator/events.js';

const windowMs = 60_000;
/** Joins and losses told one by one within a window. */
const toldEach = 60;

/**
 * Passes events on; of workers that come and go without end it tells the first of every minute, and then how many
 * there were, so that they cannot flood a log.
 */
export function quietComingAndGoing(
  listener: RunListener,
  nowMs: () => number = () => performance.now(),
): RunListener {
  let sinceMs = Number.NEGATIVE_INFINITY;
  let told = 0;
  let untold = { joined: 0, lost: 0 };
  const turnOver = (): void => {
    if (nowMs() - sinceMs < windowMs) return;
    const { joined, lost } = untold;
    untold = { joined: 0, lost: 0 };
    told = 0;
    sinceMs = nowMs();
    if (joined + lost === 0) return;
    listener({
      type: 'warning',
      message: `workers come and go: ${joined} more joined and ${lost} more were lost than were told of`,
    });
  };
  return (event: RunEvent) => {
    turnOver();
    const isMembership = event.type === 'worker-joined' || event.type === 'worker-lost';
    if (!isMembership) return listener(event);
    told += 1;
    if (told <= toldEach) return listener(event);
    untold[event.type === 'worker-joined' ? 'joined' : 'lost'] += 1;
  };
}
