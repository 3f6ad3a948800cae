import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { Callback } from '../../coordinator/callbacks/callback.js';
import { CheckpointStore } from '../../coordinator/checkpoint/store.js';
import type { Dataset } from '../../coordinator/data/dataset.js';
import { readReceipts } from '../../coordinator/receipts/read-receipts.js';
import type { Receipt, ReceiptsHeader, StepReceipt } from '../../coordinator/receipts/receipt.js';
import { receiptsPath } from '../../coordinator/receipts/receipts.js';
import { Random } from '../../shared/random.js';
import { InProcessCluster } from './in-process-cluster.js';
import {
  batchSize,
  features,
  type Trained,
  type TrainingRun,
  tinyData,
  train,
  trainOn,
} from './tiny-training.js';

let directory: string;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'lockstep-receipts-'));
});
afterEach(() => rm(directory, { recursive: true, force: true }));

/** What begins anew at every worker count, resume and fault: all of the file after its header, and the chain. */
async function receiptsOf({ outcome }: Trained, folder = directory) {
  const lines = (await readFile(receiptsPath(folder), 'utf8')).trimEnd().split('\n');
  return { chain: outcome.receipts?.chain, lines: lines.slice(1) };
}

async function readAll(folder = directory): Promise<(Receipt | ReceiptsHeader)[]> {
  const lines: (Receipt | ReceiptsHeader)[] = [];
  for await (const { line, isLinked } of readReceipts(receiptsPath(folder))) {
    expect(isLinked).toBe(true);
    lines.push(line);
  }
  return lines;
}

/** Averages the weights with those of the epoch before, and sets them in batches too: as EMA and SWA do. */
function setting(): Callback {
  const halve = (weights: Float32Array[]): Float32Array[] =>
    weights.map((weight) => weight.map((w) => w / 2));
  return {
    name: 'setting',
    onEpochEnd: (epoch, _logs, training) => {
      if (epoch < 3) training.setWeights(halve(training.getWeights()));
      training.learningRate *= 0.9;
    },
    onEpochBegin: (epoch, training) => {
      if (epoch === 2) training.setWeights(halve(training.getWeights()));
    },
    onTrainBatchBegin: (batch, training) => {
      if (batch === 2) training.setWeights(halve(training.getWeights()));
    },
    onTrainBatchEnd: (batch, _logs, training) => {
      if (batch === 1) training.setWeights(halve(training.getWeights()));
    },
    onTrainEnd: (_logs, training) => training.setWeights(halve(training.getWeights())),
  };
}

const run = (): TrainingRun => ({ callbacks: [setting()], directory });

describe('the receipts of a run', () => {
  let undisturbed: Awaited<ReturnType<typeof receiptsOf>>;

  beforeAll(async () => {
    const folder = await mkdtemp(join(tmpdir(), 'lockstep-receipts-'));
    undisturbed = await receiptsOf(await trainOn({ workers: 1 }, { ...run(), directory: folder }), folder);
    await rm(folder, { recursive: true });
  });

  it('tell of every step, of what callbacks set, and end with the chain of the report', async () => {
    await trainOn({ workers: 1 }, run());
    const [header, ...rest] = await readAll();
    expect(header).toMatchObject({ step: 0, seed: 3, shards: 4, batchSize, backend: 'cpu' });
    const steps = rest.filter((line): line is StepReceipt => 'data' in line);
    expect(steps.map(({ step, epoch, batch }) => [step, epoch, batch])).toEqual(
      Array.from({ length: 20 }, (_, i) => [i + 1, Math.floor(i / 4), i % 4]),
    );
    // After the second batch of each epoch and before the third, around the ends of epochs, and at the end.
    expect(rest.filter((line) => 'set' in line).map(({ step }) => step)).toEqual([
      2, 2, 4, 6, 6, 8, 8, 10, 10, 12, 14, 14, 18, 18, 20,
    ]);
    expect(rest.at(-1)?.chain).toBe(undisturbed.chain);
    const { snapshot } = await new CheckpointStore(directory).readLatest();
    expect(snapshot.run.receiptsChain).toBe(undisturbed.chain);
    for (const part of ['data', 'sum', 'weights', 'optimizer', 'stats'] as const) {
      expect(new Set(steps.map((step) => step[part])).size).toBe(20);
    }
  });

  it.each([2, 3, 4])('are the same on %i workers', async (workers) => {
    expect(await receiptsOf(await trainOn({ workers, seed: workers }, run()))).toEqual(undisturbed);
  });

  it('are the same when workers are lost in the middle of steps', async () => {
    const random = new Random(5);
    let lost = 0;
    const trained = await trainOn(
      {
        workers: 2,
        seed: 9,
        limits: { lossesPerShard: 100 },
        onAnswer(worker, answer, cluster) {
          if (answer.type !== 'partial' || random.below(15) !== 0) return;
          lost += 1;
          cluster.join();
          worker.kill();
        },
      },
      run(),
    );
    expect(lost).toBeGreaterThan(2);
    expect(await receiptsOf(trained)).toEqual(undisturbed);
  });

  // In an epoch, right after what a batch callback set, at the end of an epoch, one step before the end.
  it.each([1, 2, 6, 8, 19])(
    'are the same when it is stopped after %i steps and resumed',
    async (maxSteps) => {
      const first = await trainOn({ workers: 2 }, { ...run(), maxSteps });
      expect(first.outcome.position.step).toBe(maxSteps);
      const second = await trainOn({ workers: 3 }, { ...run(), resumes: true });
      expect((await receiptsOf(second)).lines.at(-1)).toBe(undisturbed.lines.at(-1));
      expect((await receiptsOf(second)).chain).toBe(undisturbed.chain);
      await readAll();
    },
  );

  it('are cut back to the checkpoint when the coordinator goes on to the same steps again', async () => {
    const cluster = new InProcessCluster({ workers: 2 });
    const crash: Callback = {
      name: 'crash',
      onTrainBatchBegin(_batch, { step }) {
        if (step === 11) cluster.access.conductor.abandon('as a crash does');
      },
    };
    const failing = train(cluster, { ...run(), callbacks: [setting(), crash], everySteps: 3 });
    await expect(failing).rejects.toMatchObject({ code: 'NO_WORKERS' });
    cluster.close();
    // The newest checkpoint is lost, so that receipts stand beyond the one that is resumed.
    const store = new CheckpointStore(directory);
    const [newest] = await store.list();
    await rm(newest, { recursive: true });
    expect((await store.readLatest()).snapshot.run.step).toBeLessThan(11);
    const second = await trainOn({ workers: 1 }, { ...run(), resumes: true });
    expect(await receiptsOf(second)).toEqual(undisturbed);
  });

  it('record the shards without changing the chain', async () => {
    const trained = await trainOn({ workers: 3, seed: 4 }, { ...run(), recordShards: true });
    expect(trained.outcome.receipts?.chain).toBe(undisturbed.chain);
    const [header, ...rest] = await readAll();
    const { variables } = header as ReceiptsHeader;
    const steps = rest.filter((line): line is StepReceipt => 'data' in line);
    for (const { batch, shards } of steps) {
      expect(shards).toHaveLength(batch === 3 ? 2 : 4);
      for (const shard of shards ?? []) expect(shard).toHaveLength(32 * variables.length);
    }
    const alone = await mkdtemp(join(tmpdir(), 'lockstep-receipts-'));
    await trainOn({ workers: 1 }, { ...run(), directory: alone, recordShards: true });
    expect((await readAll(alone)).slice(1)).toEqual(rest);
    await rm(alone, { recursive: true });
  });

  it('say which samples a step of a stream consumed', async () => {
    const stream = (swapped: boolean) => ({
      async *open() {
        const order = Array.from({ length: 40 }, (_, row) => row);
        if (swapped) [order[30], order[31]] = [order[31], order[30]];
        for (const row of order) {
          const { x, y } = await tinyData(40).batch(Int32Array.of(row));
          const first = ({ data, dtype }: (typeof x)[number]) => ({ dtype, shape: [data.length], data });
          yield { x: x.map(first), y: y.map(first) };
        }
      },
    });
    const dataOf = async (swapped: boolean, workers: number, seed = 3) => {
      const data: string[] = [];
      const onReceipt: TrainingRun['onReceipt'] = (line) => void ('data' in line && data.push(line.data));
      await trainOn({ workers }, { train: stream(swapped), epochs: 2, shuffleBuffer: 8, seed, onReceipt });
      return data;
    };
    const data = await dataOf(false, 1);
    expect(data).toHaveLength(6);
    expect(await dataOf(false, 3)).toEqual(data);
    expect((await dataOf(false, 1, 4))[0]).not.toBe(data[0]);
    const other = await dataOf(true, 1);
    expect(other[0]).toBe(data[0]);
    expect(other[1]).not.toBe(data[1]);
  });
});

describe('steps that are not finite', () => {
  /** Rows whose target is beyond float32 once it is squared; batches are not shuffled. */
  const extreme = (...bad: number[]): Dataset => {
    const data = tinyData();
    return {
      length: data.length,
      async batch(indices) {
        const { x, y } = await data.batch(indices);
        const values = y[0].data.slice();
        for (const [at, row] of indices.entries()) if (bad.includes(row)) values[at] = 3e38;
        return { x, y: [{ ...y[0], data: values }] };
      },
    };
  };
  /** The second and the third batch of every epoch. */
  const skipping = (): TrainingRun => ({
    train: extreme(20, 40),
    shuffle: false,
    epochs: 3,
    onNonFinite: 'skip',
    directory,
  });

  it('are skipped: they keep their number and their data, and nothing else changes', async () => {
    const trained = await trainOn({ workers: 2 }, skipping());
    const { position, history } = trained.outcome;
    expect(position).toMatchObject({ step: 12, epoch: 3, samplesSeen: 3 * 54 });
    expect(position.skippedSteps).toEqual([2, 3, 6, 7, 10, 11]);
    const lines = (await readAll()).filter((line): line is StepReceipt => 'data' in line);
    for (const step of [2, 3, 6, 7, 10, 11]) {
      const { weights, optimizer, stats, ...skipped } = lines[step - 1];
      expect(skipped).toMatchObject({ skipped: true, step });
      expect(skipped).not.toHaveProperty('sum');
      const before = lines[step - 2];
      expect({ weights, optimizer, stats }).toEqual({
        weights: before.weights,
        optimizer: before.optimizer,
        stats: before.stats,
      });
    }
    expect(history.history.loss.every(Number.isFinite)).toBe(true);
    expect(history.history.mae.every(Number.isFinite)).toBe(true);
  });

  it('leave the rest of the epoch as if they were not there, but for the number of the step', async () => {
    const logs: number[] = [];
    const see: Callback = { name: 'see', onTrainBatchEnd: (_batch, { loss }) => void logs.push(loss) };
    const warnings: string[] = [];
    const own = new InProcessCluster({ workers: 1 });
    await train(own, { ...skipping(), epochs: 1, callbacks: [see] });
    for (const event of own.events) {
      if (event.type === 'warning' && event.message.includes('skipped')) warnings.push(event.message);
    }
    own.close();
    // Callbacks see the loss that was not finite, and then again that of the steps that count.
    expect(logs.map(Number.isFinite)).toEqual([true, false, false, true]);
    expect(warnings).toEqual([
      expect.stringMatching(/^step 2 is not finite: .*; it is skipped$/),
      expect.stringMatching(/^step 3 is not finite: .*; it is skipped$/),
    ]);
  });

  it('give the same bits on any workers, and when the run is stopped in the middle of them', async () => {
    const whole = await trainOn({ workers: 1 }, skipping());
    const { chain } = await receiptsOf(whole);
    for (const maxSteps of [2, 6]) {
      await rm(directory, { recursive: true });
      const first = await trainOn({ workers: 3, seed: 2 }, { ...skipping(), maxSteps });
      const second = await trainOn({ workers: 2, seed: 3 }, { ...skipping(), resumes: true });
      expect([...first.steps, ...second.steps]).toEqual(whole.steps);
      expect(second.stateSha256).toBe(whole.stateSha256);
      expect(second.outcome.position.skippedSteps).toEqual(whole.outcome.position.skippedSteps);
      expect(second.outcome.history.history).toEqual(whole.outcome.history.history);
      expect((await receiptsOf(second)).chain).toBe(chain);
    }
  });

  it('stop the run when there are ten in a row, which a resume does not make fewer', async () => {
    const all = extreme(...Array.from({ length: 54 - batchSize }, (_, i) => batchSize + i));
    // 3 of 4 batches an epoch, and from then on 12 of 12.
    const later: Dataset = {
      length: 54,
      batch: (indices) =>
        (reads++ < 4 ? all : extreme(...Array.from({ length: 54 }, (_, i) => i))).batch(indices),
    };
    let reads = 0;
    const trap = (): TrainingRun => ({ ...skipping(), train: later, epochs: 5 });
    const message = expect.stringMatching(/^10 steps in a row; step 11 is not finite/);
    await expect(trainOn({ workers: 1 }, trap())).rejects.toMatchObject({ code: 'NOT_FINITE', message });
    const { snapshot } = await new CheckpointStore(directory).readLatest();
    expect(snapshot.run).toMatchObject({ step: 10, skippedSteps: [2, 3, 4, 5, 6, 7, 8, 9, 10] });
    await expect(trainOn({ workers: 1 }, { ...trap(), resumes: true })).rejects.toMatchObject({ message });
  });

  it('have no loss in an epoch of nothing else', async () => {
    const none = extreme(...Array.from({ length: 54 }, (_, i) => i));
    const { outcome } = await trainOn({ workers: 1 }, { ...skipping(), train: none, epochs: 1 });
    expect(outcome.history.history.loss).toEqual([Number.NaN]);
  });

  it('are those of batch statistics as well', async () => {
    const huge: Dataset = {
      length: 54,
      async batch(indices) {
        const { x, y } = await tinyData().batch(indices);
        const values = x[0].data.slice();
        if (indices[0] === 16) values.fill(3e38, 0, features);
        return { x: [{ ...x[0], data: values }], y };
      },
    };
    const { outcome } = await trainOn({ workers: 2 }, { ...skipping(), train: huge, epochs: 2 });
    expect(outcome.position.skippedSteps).toEqual([2, 6]);
  });
});
