import type { RunEvent, WorkerRow } from '../../coordinator/events.js';

export const worker = (index: number): WorkerRow => ({
  worker: index,
  host: 'alpha',
  pid: 1000 + index,
  backend: 'wasm',
  device: null,
  threads: 1,
});

export const workers: RunEvent & { type: 'workers' } = { type: 'workers', workers: [worker(0), worker(1)] };
export const epochBegin = (steps: number | null): RunEvent => ({
  type: 'epoch-begin',
  epoch: 1,
  epochs: 10,
  steps,
});
export const step = (batch: number): RunEvent => ({
  type: 'step',
  epoch: 1,
  batch,
  step: batch + 1,
  rows: 128,
  stepMs: 12,
  logs: { loss: 0.1234, accuracy: 0.9876 },
  workers: 2,
});
export const epochEnd: RunEvent & { type: 'epoch-end' } = {
  type: 'epoch-end',
  epoch: 1,
  epochs: 10,
  steps: 500,
  logs: { loss: 0.1, val_loss: 0.25, val_accuracy: 0.95 },
  epochMs: 6400,
  samplesPerSecond: 10_400,
  workers: 2,
};
export const start: RunEvent & { type: 'start' } = {
  type: 'start',
  runId: 'r1',
  seed: 7,
  shards: 4,
  epochs: 10,
  batchSize: 128,
  samples: 60_000,
  stepsPerEpoch: 469,
  parameters: 93_322,
  resumedAtStep: null,
};
export const end: RunEvent & { type: 'end' } = {
  type: 'end',
  cause: 'done',
  step: 4690,
  epochs: 10,
  seconds: 62,
  logs: { loss: 0.1, val_accuracy: 0.98 },
  weightsSha256: '0123456789abcdef0123456789abcdef',
  checkpoint: 'runs/a/step-4690',
  mixed: [],
};
