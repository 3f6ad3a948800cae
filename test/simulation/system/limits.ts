import type { RunLimits } from '../../../coordinator/core/run.js';

/** Shorter than a real run's, so that what they limit happens within seconds of virtual time. */
export const limits: RunLimits = {
  silenceMs: 3_000,
  prepareMs: 2_000,
  answerMs: 10_000,
  withoutWorkersMs: 20_000,
  lossesPerShard: 5,
  heldUpMs: 1_000,
  deadlineFloorMs: 300,
  warmUpMs: 500,
  unknownShardMs: 500,
};

/** No wait may last longer: the longest deadline, of a compute thread that does not end, and some more. */
export const patienceMs = 90_000;
