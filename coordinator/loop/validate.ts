import type { Logs, Training } from '../callbacks/callback.js';
import type { CallbackList } from '../callbacks/callback-list.js';
import type { Conductor } from '../conductor.js';
import { evaluateSource } from './evaluate.js';
import type { TrainingPlan } from './training-plan.js';

/** What a validation needs of the run around it. */
export interface Validating {
  readonly plan: TrainingPlan;
  readonly conductor: Conductor;
  readonly callbacks: CallbackList;
  readonly training: Training;
  readonly isInterrupted: () => boolean;
}

/** The logs of the validation, if one is due; null if it was interrupted: a resume begins it again. */
export async function validateEpoch(
  epoch: number,
  { plan, conductor, callbacks, training, isInterrupted }: Validating,
): Promise<Logs | null> {
  const { validation, validationFreq, program, shards, prepareValidation, state, onEvent } = plan;
  const isDue =
    typeof validationFreq === 'number'
      ? (epoch + 1) % validationFreq === 0
      : validationFreq.includes(epoch + 1);
  if (validation === null || !isDue) return {};
  const { stepsPerEpoch: batches } = validation;
  await callbacks.onTestBegin(training);
  const logs = await evaluateSource(conductor, program, {
    source: validation,
    shards,
    weights: state.weights,
    prepare: prepareValidation,
    isInterrupted,
    signal: plan.signal,
    onWaiting: (reason) => onEvent({ type: 'waiting', reason }),
    onBatchBegin: (batch) => callbacks.onTestBatchBegin(batch, training),
    onBatchEnd: async (batch, batchLogs) => {
      await callbacks.onTestBatchEnd(batch, batchLogs, training);
      onEvent({ type: 'test-batch', batch, batches });
    },
  });
  if (logs === null) return null;
  await callbacks.onTestEnd(logs, training);
  return Object.fromEntries(Object.entries(logs).map(([name, value]) => [`val_${name}`, value]));
}
