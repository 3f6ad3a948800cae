import { expect, it } from 'vitest';
import type { FromThread } from '../../worker/thread-messages.js';
import { InProcessCluster } from './in-process-cluster.js';
import type { InProcessWorker } from './in-process-worker.js';
import { stepsPerEpoch, type Trained, train, trainOn } from './tiny-training.js';

/** Trains on one worker that stays, and one that comes, and goes at `moment`, and comes again, without end. */
async function trainBeside(
  moment: FromThread['type'],
  go: (worker: InProcessWorker) => void,
): Promise<{ trained: Trained; cluster: InProcessCluster; gone: number }> {
  let gone = 0;
  const cluster = new InProcessCluster({
    workers: 1,
    onAnswer(worker, answer, own) {
      if (worker === own.workers[0] || answer.type !== moment) return;
      gone += 1;
      go(worker);
      own.join();
    },
  });
  try {
    cluster.join();
    return { trained: await train(cluster), cluster, gone };
  } finally {
    cluster.close();
  }
}

it.each([
  ['before it is ready', 'ready', (worker: InProcessWorker) => worker.kill()],
  ['politely, each time it has begun a shard', 'computing', (worker: InProcessWorker) => worker.leave()],
] as const)('a worker that comes and goes %s ends no run and costs no bit', async (_what, moment, go) => {
  const { trained, cluster, gone } = await trainBeside(moment, go);
  expect(trained.stateSha256).toBe((await trainOn({ workers: 1 })).stateSha256);
  expect(trained.steps).toHaveLength(5 * stepsPerEpoch);
  // More often than a shard may be lost.
  expect(gone).toBeGreaterThan(5);
  // Of those that never were ready nothing is told; of each of the others once that it came, and once that it went.
  const joined = cluster.events.flatMap((event) =>
    event.type === 'worker-joined' ? event.worker.worker : [],
  );
  const lost = cluster.events.flatMap((event) => (event.type === 'worker-lost' ? event.worker : []));
  expect(lost).toHaveLength(moment === 'ready' ? 0 : gone);
  expect(new Set(joined).size).toBe(joined.length);
  // Besides the one that stays, the last one that came may still be there, if it was ready before the end.
  const left = joined.filter((worker) => !lost.includes(worker));
  expect([1, moment === 'ready' ? 1 : 2]).toContain(left.length);
  expect(joined).toHaveLength(lost.length + left.length);
});
