import { readFile } from 'node:fs/promises';
import { expect, it } from 'vitest';
import { Cluster } from '../../coordinator/cluster.js';
import type { RunEvent } from '../../coordinator/events.js';
import { denseModel, rowsOfWaves } from './small-training.js';
import { bitsOf, fixtureJob, TestRun } from './test-run.js';

const options = [fixtureJob('interrupted'), '--shards', '4', '--seed', '7', '--backend', 'wasm'];

/** Steps that a worker is in; each waits for `pause`. */
async function trainPausing(cluster: Cluster, pause: (batch: number) => Promise<void>): Promise<number[][]> {
  const model = denseModel();
  const { x, y } = rowsOfWaves(64);
  const callbacks = [{ name: 'pause', onTrainBatchEnd: (batch: number) => pause(batch) }];
  try {
    await cluster.fit(model, { x, y }, { epochs: 2, batchSize: 16, shards: 4, seed: 1, callbacks });
    return model.getWeights().map((weight) => [...weight.dataSync()]);
  } finally {
    model.dispose();
    x.dispose();
    y.dispose();
  }
}

const isAlive = (pid: number): boolean => {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
};

it('a local worker process that is stopped is lost by its silence, ended and replaced, and no bit is lost', async () => {
  await using undisturbed = await Cluster.local({ workers: 2, backend: 'cpu' });
  const expected = await trainPausing(undisturbed, async () => {});

  const events: RunEvent[] = [];
  const local = {
    workers: 2,
    backend: 'cpu' as const,
    onEvent: (event: RunEvent) => void events.push(event),
  };
  await using cluster = await Cluster.local(local, { silenceMs: 4_000 });
  const joined = () => events.flatMap((event) => (event.type === 'worker-joined' ? [event.worker.pid] : []));
  let stopped = 0;
  let isPaused = false;
  const weights = await trainPausing(cluster, async (batch) => {
    if (isPaused || batch !== 1) return;
    isPaused = true;
    stopped = joined()[0];
    process.kill(stopped, 'SIGSTOP');
    await expect.poll(() => isAlive(stopped), { timeout: 30_000 }).toBe(false);
    await expect.poll(joined, { timeout: 30_000 }).toHaveLength(3);
  });
  expect(weights).toEqual(expected);
  const lost = events.flatMap((event) => (event.type === 'worker-lost' ? [event.reason] : []));
  expect(lost).toEqual([expect.stringMatching(/^silent for [4-9]\.\d s$/)]);
  const warnings = events.flatMap((event) => (event.type === 'warning' ? [event.message] : []));
  expect(warnings).toEqual([
    expect.stringMatching(
      new RegExp(
        `^worker process ${stopped} was ended with worker \\d \\(silent for .*\\); another takes its place$`,
      ),
    ),
  ]);
});

it('a worker whose loss throws is sent away when another computes its shard; if none can, the run says why', async () => {
  const run = await TestRun.begin();
  try {
    const reference = await run.train([...options, '--workers', '1']);
    const thrown = run.at('thrown');
    const trained = await run.train([...options, '--workers', '3'], { LOCKSTEP_TEST_THROW: thrown });
    expect(bitsOf(trained)).toEqual(bitsOf(reference));
    const pid = Number(await readFile(thrown, 'utf8'));
    const lost = trained.report.workers.filter((worker) => worker.lost !== null);
    expect(lost.map((worker) => worker.pid)).toEqual([pid]);
    expect(lost[0].lost).toMatch(
      /^it failed at shard \d of step \d+, which worker \d has computed: .*no such kernel/,
    );
    const { shardsComputed, shardsRecomputed, excluded } = trained.report;
    expect(shardsRecomputed).toBeGreaterThanOrEqual(1);
    expect(shardsComputed).toBeLessThanOrEqual(reference.report.shardsComputed + shardsRecomputed);
    expect(excluded).toEqual([]);

    const everywhere = { LOCKSTEP_TEST_THROW: run.at('no/such/folder') };
    const { exitCode, stderr } = await run.start(['train', ...options, '--workers', '2'], everywhere).ended;
    expect(stderr).toMatch(
      /error: workers \d and \d failed at shards? .* of step 3: .*no such kernel.* \(rows /,
    );
    expect(exitCode).toBe(1);
    expect(await run.running()).toEqual([]);
  } finally {
    await run.end();
  }
});
