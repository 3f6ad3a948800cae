import v8 from 'node:v8';
import { runInNewContext } from 'node:vm';

/** What may gather beyond the heap of the last collection: an eighth of it, and at least so much. */
const leastGrowthBytes = 4 * 2 ** 20;

/** Half of the time before the first look. */
const soonMs = 100;

/**
 * Looks at this thread's heap every `periodMs`, at first sooner, since most is made and forgotten at the beginning, and
 * collects garbage when it has grown by much for its size, until the returned function is called. Keeps no process
 * alive.
 */
export function collectByGrowth(periodMs: number): () => void {
  v8.setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as () => void;
  v8.setFlagsFromString('--no-expose-gc');
  let limitBytes = 0;
  let waitMs = Math.min(soonMs, periodMs);
  let timer: NodeJS.Timeout;
  const lookLater = (): void => {
    waitMs = Math.min(2 * waitMs, periodMs);
    timer = setTimeout(look, waitMs).unref();
  };
  const look = (): void => {
    lookLater();
    if (process.memoryUsage().heapUsed < limitBytes) return;
    collect();
    const { heapUsed } = process.memoryUsage();
    limitBytes = heapUsed + Math.max(leastGrowthBytes, heapUsed / 8);
  };
  lookLater();
  return () => clearTimeout(timer);
}
