import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { CheckpointStore } from '../../coordinator/checkpoint/store.js';
import type { Dataset } from '../../coordinator/data/dataset.js';
import { type TrainingRun, tinyData, trainOn } from './tiny-training.js';

let directory: string;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'lockstep-listener-'));
});
afterEach(() => rm(directory, { recursive: true, force: true }));

/** Its second batch, unshuffled, is not finite. */
const extreme: Dataset = {
  length: 54,
  async batch(indices) {
    const { x, y } = await tinyData().batch(indices);
    return indices.includes(20) ? { x, y: [{ ...y[0], data: y[0].data.map(() => 3e38) }] } : { x, y };
  },
};

describe('a listener to receipts that throws', () => {
  it.each([
    ['committed', 3],
    ['skipped', 2],
  ])('ends the run with a checkpoint of the step that was %s, under its number', async (_what, at) => {
    const run = (): TrainingRun => ({ train: extreme, shuffle: false, epochs: 2, onNonFinite: 'skip' });
    const whole = await trainOn({ workers: 1 }, run());
    const seen: string[] = [];
    const failing = trainOn(
      { workers: 2 },
      {
        ...run(),
        directory,
        onReceipt(receipt) {
          if (!('data' in receipt)) return;
          seen.push(receipt.weights + receipt.stats);
          if (receipt.step === at) throw new RangeError('the listener fails');
        },
      },
    );
    await expect(failing).rejects.toThrow('the listener fails');
    const { snapshot } = await new CheckpointStore(directory).readLatest();
    expect(snapshot.run).toMatchObject({ step: at, batch: at, skippedSteps: [2] });
    const resumed = await trainOn({ workers: 2 }, { ...run(), directory, resumes: true });
    expect([...seen, ...resumed.steps]).toEqual(whole.steps);
    expect(resumed.stateSha256).toBe(whole.stateSha256);
    expect(resumed.outcome.receipts?.chain).toBe(whole.outcome.receipts?.chain);
  });
});
