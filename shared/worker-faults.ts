import { z } from 'zod';

/*
 * How a coordinator that runs under a fault plan disturbs a worker process that it started itself. These messages
 * go over the channel between parent and child. No peer can send them: they are no part of the protocol, and only a
 * process whose parent started it with faults listens for them.
 */

/** What a worker can be made to do with a shard. docs/chaos.md describes them. */
export const shardFaults = ['hold', 'nan', 'wrong'] as const;

export const workerFaultOrder = z.discriminatedUnion('type', [
  z.strictObject({
    type: z.literal('arm'),
    id: z.string(),
    action: z.enum(shardFaults),
    /** Strikes at the first shard of training that is computed in this step or a later one. */
    step: z.int().nonnegative(),
    /** How long `hold` holds the shard; null: until `release`. */
    holdMs: z.number().positive().nullable(),
  }),
  /** Takes back what was armed and has not struck. */
  z.strictObject({ type: z.literal('disarm'), id: z.string() }),
  /** Lets the shard that is held go on. */
  z.strictObject({ type: z.literal('release') }),
  /** Leave politely, as a person would ask for with a signal. */
  z.strictObject({ type: z.literal('leave') }),
]);

export type WorkerFaultOrder = z.infer<typeof workerFaultOrder>;
export type ShardFault = Extract<WorkerFaultOrder, { type: 'arm' }>;

export const workerFaultReport = z.discriminatedUnion('type', [
  /** The computation of a shard of training begins: counted, so that what faults cost is known. */
  z.strictObject({ type: z.literal('begun'), step: z.int(), shard: z.int() }),
  z.strictObject({ type: z.literal('struck'), id: z.string(), step: z.int(), shard: z.int() }),
]);

export type WorkerFaultReport = z.infer<typeof workerFaultReport>;
