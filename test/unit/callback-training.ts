import type { Callback, Logs, Training } from '../../coordinator/callbacks/callback.js';
import { CallbackList } from '../../coordinator/callbacks/callback-list.js';

/** A stand-in for a run: its weights tell the epoch they were trained to. */
export class FakeTraining implements Training {
  params = { epochs: 100, steps: 2, batchSize: 8, validation: true };
  step = 0;
  epoch = 0;
  stopTraining = false;
  learningRate = 0.1;
  weights = [Float32Array.of(-1)];
  readonly saved: string[] = [];
  readonly printed: string[] = [];

  getWeights(): Float32Array[] {
    return this.weights.map((weight) => weight.slice());
  }

  setWeights(weights: readonly Float32Array[]): void {
    this.weights = weights.map((weight) => weight.slice());
  }

  async saveModel(directory: string): Promise<void> {
    this.saved.push(directory);
  }

  print(line: string): void {
    this.printed.push(line);
  }
}

/** What a run looks like from outside after each of its epochs. */
export interface EpochRow {
  readonly epoch: number;
  readonly stopped: boolean;
  readonly learningRate: number;
  readonly logs: Logs;
}

/**
 * Runs epochs whose logs are given: `logs[epoch]`. As a run does, it ends after the epoch in which a callback
 * stops it. Where `checkpointAfter` names an epoch, the run is cut there: fresh callbacks, made by `make`, take
 * over from the saved state, the weights and the learning rate.
 */
export async function simulate(
  make: () => readonly Callback[],
  logs: readonly Logs[],
  { checkpointAfter = -1, training = new FakeTraining() } = {},
): Promise<{ rows: EpochRow[]; training: FakeTraining }> {
  const rows: EpochRow[] = [];
  let run = training;
  let list = new CallbackList(make());
  await list.onTrainBegin(run);
  for (const [epoch, given] of logs.entries()) {
    run.epoch = epoch;
    await list.onEpochBegin(epoch, run);
    for (let batch = 0; batch < run.params.steps; batch++) {
      await list.onTrainBatchBegin(batch, run);
      run.step++;
      await list.onTrainBatchEnd(batch, { loss: given.loss ?? 1 }, run);
    }
    run.weights = [Float32Array.of(epoch)];
    const seen = { ...given };
    await list.onEpochEnd(epoch, seen, run);
    rows.push({ epoch, stopped: run.stopTraining, learningRate: run.learningRate, logs: seen });
    if (run.stopTraining) break;
    if (epoch === checkpointAfter) {
      const state = list.saveState();
      const { step, learningRate, weights, params, saved, printed } = run;
      run = Object.assign(new FakeTraining(), { step, learningRate, weights, params, saved, printed });
      list = new CallbackList(make());
      await list.onTrainBegin(run);
      list.loadState(state);
    }
  }
  await list.onTrainEnd({}, run);
  return { rows, training: run };
}

/** Logs with one entry per epoch. */
export const logsOf = (name: string, values: readonly number[]): Logs[] =>
  values.map((value) => ({ [name]: value }));
