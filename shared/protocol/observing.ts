import { z } from 'zod';
import { count, name, shardIndex, text } from './fields.js';

const milliseconds = z.number().nonnegative();

const workerStatus = z.strictObject({
  worker: count,
  host: name,
  pid: count,
  backend: name,
  phase: z.enum(['joined', 'preparing', 'ready', 'computing']),
  /** In its phase. */
  forMs: milliseconds,
  /** Since it was last heard. */
  silentMs: milliseconds,
  shardsComputed: count,
  computeMs: milliseconds,
  networkMs: milliseconds,
  idleMs: milliseconds,
});

const heldShard = z.strictObject({
  shard: shardIndex,
  workers: z.array(count).max(16),
  forMs: milliseconds,
  /** Until it is given to another worker as well; null if that is not going to happen. */
  againInMs: z.number().nullable(),
});

/** What a run does at the moment. The most shards and workers that are listed are enough for people. */
export const runStatus = z.strictObject({
  run: name,
  phase: z.enum(['forming', 'stepping', 'between steps', 'stopped']),
  /** Rounds begun: a step, or a batch of an evaluation. */
  round: count.nullable(),
  /** Global step, from 0. */
  step: count.nullable(),
  kind: z.enum(['train', 'evaluate', 'predict']).nullable(),
  /** The present round's shards. */
  shards: z.strictObject({ done: count, held: count, pending: count }),
  held: z.array(heldShard).max(1_000),
  workers: z.array(workerStatus).max(1_100),
  waitingFor: text.nullable(),
  /** What happens if nothing else does, and when. */
  next: text.nullable(),
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
