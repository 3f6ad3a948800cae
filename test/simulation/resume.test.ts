import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { Callback } from '../../coordinator/callbacks/callback.js';
import { earlyStopping } from '../../coordinator/callbacks/early-stopping.js';
import { reduceLROnPlateau } from '../../coordinator/callbacks/reduce-lr-on-plateau.js';
import { sgd } from '../../coordinator/optimizer/configs.js';
import { InProcessCluster } from './in-process-cluster.js';
import {
  batchSize,
  rows,
  stepsPerEpoch,
  type Trained,
  type TrainingRun,
  tinyData,
  train,
  trainOn,
  watched,
} from './tiny-training.js';

let directory: string;
let undisturbed: Trained;

beforeAll(async () => {
  undisturbed = await trainOn({ workers: 1 });
});

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'lockstep-resume-'));
});

afterEach(async () => {
  await rm(directory, { recursive: true, force: true });
});

/** Stops after `maxSteps` on two workers, then goes on with three. */
async function stopAndResume(maxSteps: number, run: () => TrainingRun): Promise<[Trained, Trained]> {
  const first = await trainOn({ workers: 2, seed: 1 }, { ...run(), directory, maxSteps });
  const second = await trainOn({ workers: 3, seed: 2 }, { ...run(), directory, resumes: true });
  return [first, second];
}

describe('a run that is stopped and resumed with another number of workers', () => {
  // Positions: the first batch, the last of an epoch, the middle and the second half of one, the last but one.
  it.each([1, 4, 6, 7, 19])(
    'ends with the bits of the undisturbed run (stopped after %i steps)',
    async (at) => {
      const [first, second] = await stopAndResume(at, () => ({}));
      expect(first.outcome.position).toMatchObject({ step: at });
      expect([...first.steps, ...second.steps]).toEqual(undisturbed.steps);
      expect(second.weightsSha256).toBe(undisturbed.weightsSha256);
      expect(second.stateSha256).toBe(undisturbed.stateSha256);
      expect(second.outcome.history.history).toEqual(undisturbed.outcome.history.history);
      expect(second.outcome.position.samplesSeen).toBe(5 * rows);
    },
  );

  it('says so when it begins anew where an earlier run has saved', async () => {
    const warnings = async (run: TrainingRun): Promise<string[]> => {
      const own = new InProcessCluster({ workers: 1 });
      await train(own, { directory, maxSteps: 1, ...run }).finally(() => own.close());
      return own.events.flatMap((event) => (event.type === 'warning' ? [event.message] : []));
    };
    expect(await warnings({})).toEqual([]);
    expect(await warnings({ resumes: true, maxSteps: 2 })).toEqual([]);
    expect(await warnings({})).toEqual([expect.stringContaining('checkpoint-000002-step-0000000002')]);
  });

  it('never reads again what the open epoch has consumed', async () => {
    const at = stepsPerEpoch + 2;
    const read: number[] = [];
    const consumed = new Set<number>();
    await trainOn(
      { workers: 2 },
      { directory, maxSteps: at, train: watched(tinyData(), (indices) => read.push(...indices)) },
    );
    for (const row of read.slice(rows, rows + 2 * batchSize)) consumed.add(row);
    expect(consumed.size).toBe(2 * batchSize);
    const later: number[] = [];
    const poisoned = watched(tinyData(), (indices) => {
      // Only the rest of the open epoch is poisoned; the next one reads every row.
      for (const row of indices) {
        if (later.length < rows - consumed.size && consumed.has(row))
          throw new Error(`row ${row} is poisoned`);
        later.push(row);
      }
    });
    const second = await trainOn({ workers: 1 }, { directory, resumes: true, train: poisoned });
    expect(new Set([...consumed, ...later.slice(0, rows - consumed.size)]).size).toBe(rows);
    expect(second.stateSha256).toBe(undisturbed.stateSha256);
  });

  it('ends with other bits if one bit of the restored weights is another', async () => {
    await trainOn({ workers: 2 }, { directory, maxSteps: 6 });
    const flipped = await trainOn(
      { workers: 1 },
      {
        directory,
        resumes: true,
        tamper({ flat }) {
          new Uint32Array(flat.buffer, flat.byteOffset, 1)[0] ^= 1;
        },
      },
    );
    expect(flipped.steps).toHaveLength(5 * stepsPerEpoch - 6);
    expect(flipped.weightsSha256).not.toBe(undisturbed.weightsSha256);
  });

  it.each([
    ['the slots of the optimizer', 'slots'],
    ['the sums of the open epoch', 'tensors'],
  ])('ends in another state without %s', async (_what, part) => {
    await trainOn({ workers: 2 }, { directory, maxSteps: 6 });
    const damaged = await trainOn(
      { workers: 1 },
      {
        directory,
        resumes: true,
        tamper({ slots, tensors }) {
          if (part === 'slots')
            for (const bySlot of slots.values()) for (const slot of Object.values(bySlot)) slot.fill(0);
          else for (const values of Object.values(tensors)) values.fill(0);
        },
      },
    );
    expect(damaged.stateSha256).not.toBe(undisturbed.stateSha256);
  });

  it('stops for a signal with the step in flight committed', async () => {
    const controller = new AbortController();
    const abort: Callback = {
      name: 'abort',
      onTrainBatchBegin(_batch, { step }) {
        if (step === 9) controller.abort();
      },
    };
    const first = await trainOn({ workers: 2 }, { directory, signal: controller.signal, callbacks: [abort] });
    expect(first.outcome.cause).toBe('signal');
    expect(first.outcome.position.step).toBe(10);
    const second = await trainOn({ workers: 2 }, { directory, resumes: true });
    expect([...first.steps, ...second.steps]).toEqual(undisturbed.steps);
  });

  it('stops for a signal in the middle of a validation, which a resume does again', async () => {
    const withValidation = { validation: tinyData(40) };
    const whole = await trainOn({ workers: 1 }, withValidation);
    const controller = new AbortController();
    const calls: string[] = [];
    const abort: Callback = {
      name: 'abort',
      onTestBatchEnd(batch, _logs, { epoch }) {
        if (epoch === 1 && batch === 0) controller.abort();
      },
      onTestEnd: (_logs, { epoch }) => void calls.push(`test end ${epoch}`),
      onEpochEnd: (epoch) => void calls.push(`epoch end ${epoch}`),
    };
    const run = { ...withValidation, directory, signal: controller.signal, callbacks: [abort] };
    const first = await trainOn({ workers: 1 }, run);
    expect(first.outcome).toMatchObject({ cause: 'signal', position: { epoch: 1, batch: stepsPerEpoch } });
    expect(calls).toEqual(['test end 0', 'epoch end 0']);
    const second = await trainOn({ workers: 2 }, { ...withValidation, directory, resumes: true });
    expect([...first.steps, ...second.steps]).toEqual(whole.steps);
    expect(second.outcome.history).toEqual(whole.outcome.history);
  });

  it('does not resume what a callback ended in the very step of the signal', async () => {
    const controller = new AbortController();
    const end: Callback = {
      name: 'end',
      onTrainBatchEnd(_batch, _logs, training) {
        if (training.step !== 6) return;
        training.stopTraining = true;
        controller.abort();
      },
    };
    const run = { directory, signal: controller.signal, callbacks: [end], validation: tinyData(40) };
    const { outcome } = await trainOn({ workers: 1 }, run);
    expect(outcome).toMatchObject({ cause: 'stopped-early', position: { step: 6, stopped: true } });
    expect(outcome.history.history.val_loss).toHaveLength(2);
    expect((await trainOn({ workers: 1 }, { directory, resumes: true })).steps).toEqual([]);
  });

  it('does not wait for workers once it is aborted', async () => {
    const controller = new AbortController();
    const cluster = new InProcessCluster({ workers: 0 });
    const access = { ...cluster.access, workers: 1 };
    const waiting = train({ access }, { signal: controller.signal });
    setImmediate(() => controller.abort());
    expect((await waiting).outcome).toMatchObject({ cause: 'signal', position: { step: 0 } });
    expect(cluster.events.filter(({ type }) => type === 'start' || type === 'end')).toEqual([]);
    cluster.close();
  });

  it('continues after the run failed: what was committed is saved', async () => {
    const cluster = new InProcessCluster({ workers: 2 });
    const abandon: Callback = {
      name: 'abandon',
      onTrainBatchBegin(_batch, { step }) {
        if (step === 9) cluster.access.conductor.abandon('all of them ended');
      },
    };
    await expect(train(cluster, { directory, callbacks: [abandon] })).rejects.toMatchObject({
      code: 'NO_WORKERS',
    });
    cluster.close();
    const second = await trainOn({ workers: 1 }, { directory, resumes: true });
    expect(second.steps).toEqual(undisturbed.steps.slice(9));
    expect(second.stateSha256).toBe(undisturbed.stateSha256);
  });

  it('leaves an earlier run in its folder alone if it fails before its first step', async () => {
    await trainOn({ workers: 1 }, { directory, maxSteps: 3 });
    const fail: Callback = {
      name: 'fail',
      onEpochBegin() {
        throw new RangeError('too early');
      },
    };
    const failing = trainOn({ workers: 1 }, { directory, callbacks: [fail] });
    await expect(failing).rejects.toMatchObject({ code: 'CALLBACK_FAILED' });
    const resumed = await trainOn({ workers: 1 }, { directory, resumes: true });
    expect(resumed.steps).toEqual(undisturbed.steps.slice(3));
  });

  it('does nothing more once it was done', async () => {
    await trainOn({ workers: 1 }, { directory });
    const again = await trainOn({ workers: 2 }, { directory, resumes: true });
    expect(again.steps).toEqual([]);
    expect(again.stateSha256).toBe(undisturbed.stateSha256);
  });
});

describe('callbacks with memory', () => {
  it('count an epoch once when another one throws at its end', async () => {
    const callbacks = () => [
      reduceLROnPlateau({ monitor: 'loss', patience: 1, factor: 0.5, minDelta: 10 }),
      earlyStopping({ monitor: 'loss', patience: 4, minDelta: 10 }),
    ];
    const whole = await trainOn({ workers: 1 }, { callbacks: callbacks() });
    const full: Callback = {
      name: 'full',
      onEpochEnd(epoch) {
        if (epoch === 2) throw new RangeError('the disk is full');
      },
    };
    const failing = trainOn({ workers: 1 }, { directory, callbacks: [...callbacks(), full] });
    await expect(failing).rejects.toMatchObject({ code: 'CALLBACK_FAILED' });
    const resumed = await trainOn({ workers: 1 }, { directory, resumes: true, callbacks: callbacks() });
    expect(resumed.steps).toEqual(whole.steps.slice(3 * stepsPerEpoch));
    expect(resumed.stateSha256).toBe(whole.stateSha256);
  });

  it('are not told again that the open epoch begins', async () => {
    const calls: string[] = [];
    const callback: Callback = {
      name: 'calls',
      onTrainBegin: () => void calls.push('train begin'),
      onEpochBegin: (epoch) => void calls.push(`epoch begin ${epoch}`),
      onTrainBatchEnd: (batch) => void calls.push(`batch ${batch}`),
      onEpochEnd: (epoch) => void calls.push(`epoch end ${epoch}`),
    };
    await trainOn({ workers: 1 }, { directory, maxSteps: 6 });
    await trainOn({ workers: 1 }, { directory, resumes: true, maxSteps: 9, callbacks: [callback] });
    expect(calls).toEqual(['train begin', 'batch 2', 'batch 3', 'epoch end 1', 'epoch begin 2', 'batch 0']);
  });

  /** A rate at which the loss does not fall every epoch. */
  const restless = (): TrainingRun => ({
    optimizer: sgd({ learningRate: 0.3, momentum: 0.9, globalClipNorm: 1 }),
    epochs: 12,
    callbacks: [
      reduceLROnPlateau({ monitor: 'loss', patience: 1, factor: 0.5 }),
      earlyStopping({ monitor: 'loss', patience: 3, restoreBestWeights: true }),
    ],
  });

  it.each([5, 9, 14, 18, 22])(
    'stop and restore as in the undisturbed run (stopped after %i steps)',
    async (at) => {
      const whole = await trainOn({ workers: 1 }, restless());
      expect(whole.outcome.cause).toBe('stopped-early');
      const { history } = whole.outcome.history;
      expect(new Set(history.learning_rate).size).toBeGreaterThan(1);
      // Restored: the weights are those of the step that ended the best epoch.
      const best = history.loss.indexOf(Math.min(...history.loss));
      expect(best).toBeLessThan(history.loss.length - 1);
      expect(whole.weightsDigest).toBe(whole.steps[(best + 1) * stepsPerEpoch - 1]);

      expect(whole.steps.length).toBeGreaterThan(at);
      const [first, second] = await stopAndResume(at, restless);
      expect([...first.steps, ...second.steps]).toEqual(whole.steps);
      expect(second.outcome.history.history).toEqual(history);
      expect(second.outcome.cause).toBe('stopped-early');
      expect(second.stateSha256).toBe(whole.stateSha256);
    },
  );
});
