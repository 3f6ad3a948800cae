import { z } from 'zod';
import { count, maxShards, name, rangeFields, shardIndex, text } from './fields.js';

const milliseconds = z.number().nonnegative();
const kind = z.enum(['train', 'evaluate', 'predict']);

const shardStatus = z.strictObject({
  shard: shardIndex,
  status: z.enum(['pending', 'assigned', 'unconfirmed', 'done']),
  holders: z.array(z.strictObject({ worker: count, forMs: milliseconds })).readonly(),
});

const workerStatus = z.strictObject({
  worker: count,
  host: name.nullable(),
  pid: count.nullable(),
  phase: z.enum(['joined', 'preparing', 'ready', 'failed']),
  forMs: milliseconds,
  lastHeardMs: milliseconds,
  computes: z
    .strictObject({
      kind,
      step: count,
      ...rangeFields,
      forMs: milliseconds,
      deadlineInMs: milliseconds,
      lostInMs: milliseconds,
    })
    .nullable(),
  shardsComputed: count,
  computeMs: milliseconds,
  networkMs: milliseconds,
  idleMs: milliseconds,
});

/** What a run does at the moment: `ClusterStatus` of coordinator/status.ts as it travels. */
export const runStatus = z.strictObject({
  phase: z.enum(['idle', 'working', 'stopped']),
  round: z
    .strictObject({
      id: count,
      kind,
      step: count,
      forMs: milliseconds,
      shards: z.array(shardStatus).max(maxShards).readonly(),
    })
    .nullable(),
  waitingFor: text.nullable(),
  stopped: text.nullable(),
  workers: z.array(workerStatus).readonly(),
  shardsRecomputed: count,
  shardsDuplicated: count,
  shardsAudited: count,
  disagreements: count,
  excluded: z.array(z.strictObject({ worker: count, host: name, step: count, shard: shardIndex })).readonly(),
});

export type RunStatus = z.infer<typeof runStatus>;

const goodbye = z.strictObject({ type: z.literal('goodbye'), reason: text });

/** Everything an observer says: it asks, and it leaves. Nothing of it can influence a run. */
export const fromObserver = z.discriminatedUnion('type', [
  z.strictObject({ type: z.literal('status') }),
  goodbye,
]);

export type FromObserver = z.infer<typeof fromObserver>;

/** Everything an observer is told. */
export const toObserver = z.discriminatedUnion('type', [
  z.strictObject({ type: z.literal('status'), status: runStatus }),
  goodbye,
]);

export type ToObserver = z.infer<typeof toObserver>;
