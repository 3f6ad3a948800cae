import { LockstepError } from '../../shared/errors.js';
import type { Json } from '../../shared/json.js';
import type { ProgramSpec } from '../../shared/program.js';
import { encodeExact } from '../checkpoint/exact-json.js';
import type { RunState } from '../checkpoint/run-state.js';

export interface SettingsRequest {
  readonly classWeight: Readonly<Record<number, number>> | null;
  /** Whether rows are shuffled; of a stream, within how many records. */
  readonly shuffle: boolean | number;
  readonly stepsPerEpoch: number | null;
  /** Rows per epoch, or null where a stream does not say. */
  readonly samples: number | null;
}

/**
 * What every later step depends on beside the model, the optimizer and the counts that have names of their own: by
 * the name that a job or `fit` knows it by, as plain data. Metrics are not part of it: they may change between epochs.
 */
export function settingsOf(
  { outputs }: ProgramSpec,
  { classWeight, shuffle, stepsPerEpoch, samples }: SettingsRequest,
): RunState['settings'] {
  return {
    loss: outputs.map(({ name, loss }) => ({ output: name, ...loss })),
    lossWeights: outputs.map(({ lossWeight }) => lossWeight),
    classWeight: classWeight === null ? null : { ...classWeight },
    shuffle,
    stepsPerEpoch,
    samples,
  };
}

const hints: Readonly<Record<string, string>> = {
  samples: 'Resume with the data of the run, or start in another folder.',
};

/** @throws LockstepError CHECKPOINT_MISMATCH naming the first setting that differs */
export function checkSettings(saved: RunState['settings'], wanted: RunState['settings']): void {
  for (const [name, value] of Object.entries(wanted)) {
    const before = saved[name] ?? null;
    // The exact encoding sorts keys, which a checkpoint does not keep in order.
    if (encodeExact(before) === encodeExact(value)) continue;
    throw new LockstepError(
      'CHECKPOINT_MISMATCH',
      `the run has ${name} ${told(before)}, the job ${told(value)}`,
      { hint: hints[name] ?? `Resume with the ${name} of the run, or start in another folder.` },
    );
  }
}

function told(value: Json): string {
  return value === null ? 'none' : JSON.stringify(value);
}
