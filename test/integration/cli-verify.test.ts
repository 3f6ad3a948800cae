import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { jobSource, lockstep } from './cli-process.js';

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'lockstep-verify-'));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

describe('lockstep verify', () => {
  it('finds the same bits for 1 worker, for 3, and for 2 of which one is killed', async () => {
    const job = join(folder, 'job.ts');
    await writeFile(job, jobSource());
    const { exitCode, stderr, entries } = await lockstep('verify', job, '--backend', 'cpu');
    expect(stderr).toBe('');
    expect(exitCode).toBe(0);
    expect(entries.filter(({ event }) => event === 'worker-lost')).toHaveLength(1);
    const hashes = entries.flatMap(
      ({ msg = '' }) => /: 20 steps, weights ([0-9a-f]{64})$/.exec(msg)?.[1] ?? [],
    );
    expect(hashes).toHaveLength(3);
    expect(new Set(hashes).size).toBe(1);
    expect(entries.at(-1)?.msg).toBe('same bits after each of 20 steps');
  });

  it('names the first step, shard and variable that differ when a loss depends on the process that computes it', async () => {
    const job = join(folder, 'impure.ts');
    const top = `const mine = 1 + (process.pid % 1000) / 1000;`;
    const fields = `loss: (yTrue: tf.Tensor, yPred: tf.Tensor) => yTrue.sub(yPred).square().mean(-1).mul(mine),`;
    await writeFile(job, jobSource({ top }).replace(`loss: 'meanSquaredError',`, fields));
    const { exitCode, stderr } = await lockstep('verify', job, '--backend', 'cpu');
    expect(stderr).toMatch(
      /^error: 1 worker and 3 workers part in step 1: first in the gradient of shard 0 for dense_\S+\/\S+\n {2}Look for state or randomness/,
    );
    expect(exitCode).toBe(1);
  });
});
