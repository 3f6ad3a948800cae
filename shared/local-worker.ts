import { z } from 'zod';
import { backendChoices } from './backends.js';

/** What a coordinator tells a worker process that it starts itself, over the channel between the two. */
export const localWorkerConfig = z.strictObject({
  url: z.string(),
  token: z.string(),
  backend: z.enum(backendChoices),
  /** The job file of the run, if it has code of its own: on one machine it is the same file. */
  job: z.string().nullable(),
  /** Whether it lets its parent disturb it, as a fault plan says. */
  faults: z.boolean(),
  /** Whether it was given the files of `memoryDescriptors`. */
  memory: z.boolean(),
});

/**
 * Under which numbers a worker finds the files through which payloads cross: after its standard streams and the
 * channel to its parent.
 */
export const memoryDescriptors = { incoming: 4, outgoing: 5 } as const;

/** What it tells its coordinator over the same channel: the number that a connection of it was given. */
export const localWorkerReport = z.strictObject({ type: z.literal('joined'), worker: z.int().nonnegative() });

export type LocalWorkerReport = z.infer<typeof localWorkerReport>;

export type LocalWorkerConfig = z.infer<typeof localWorkerConfig>;
