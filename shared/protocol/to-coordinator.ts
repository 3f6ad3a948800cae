import { z } from 'zod';
import { type ErrorCode, errorCodes } from '../errors.js';
import { fingerprintSchema } from '../fingerprint.js';
import {
  count,
  digest,
  isRange,
  maxShards,
  name,
  rangeFields,
  sha256,
  shardIndex,
  tensorHeader,
  text,
} from './fields.js';

const errorCode = z.enum(Object.keys(errorCodes) as [ErrorCode, ...ErrorCode[]]);

/** The answer to `setup`: the program is built and can compute. */
const ready = z.strictObject({
  type: z.literal('ready'),
  manifestHash: sha256,
  fingerprint: fingerprintSchema,
  threads: z.int().positive().max(1_024),
  pid: count,
  host: name,
  /** What the canary shard came to and how long it took; null if none was asked for, or the model cannot run it. */
  canary: z.strictObject({ sha256, ms: z.number().nonnegative() }).nullable(),
  /** Why the model is computed op by op, where a compiled program was preferred. */
  fallback: text.nullable(),
});

/** Lengths of a partial's arrays, in elements. */
export const partialSections = z.strictObject({
  gradient: count,
  sums: count,
  moments: z.array(z.strictObject({ batchNorm: count, channels: count })).max(10_000),
  scores: z.array(count).max(1_000),
});

export type PartialSections = z.infer<typeof partialSections>;

/** Of one shard's own gradient: a digest per trainable variable, in manifest order. */
const shardDigests = z.strictObject({ shard: shardIndex, variables: z.array(digest).max(100_000) });

/** Payload: the ShardPartial of the subtree `[lo, hi)` as shared/protocol/partial-payload.ts lays it out. */
const partial = z
  .strictObject({
    type: z.literal('partial'),
    round: count,
    ...rangeFields,
    computeMs: z.number().nonnegative(),
    sections: partialSections,
    /** Where asked for, one entry per shard. */
    digests: z.array(shardDigests).max(maxShards),
  })
  .refine(isRange, 'expected lo < hi');

/** Payload: one tensor per model output, the rows of shards `[lo, hi)` in order. */
const outputs = z
  .strictObject({
    type: z.literal('outputs'),
    round: count,
    ...rangeFields,
    computeMs: z.number().nonnegative(),
    tensors: z.array(tensorHeader).max(1_000),
  })
  .refine(isRange, 'expected lo < hi');

/**
 * The worker cannot do what it was asked; `order` where that was to compute: nothing more comes of it. `shard` is the
 * one that it computed, or was about to.
 */
const failed = z.strictObject({
  type: z.literal('failed'),
  order: z
    .strictObject({ round: count, ...rangeFields })
    .refine(isRange, 'expected lo < hi')
    .nullable(),
  shard: shardIndex.nullable(),
  code: errorCode,
  message: text,
  hint: text,
});

const heartbeat = z.strictObject({
  type: z.literal('heartbeat'),
  state: z.discriminatedUnion('phase', [
    z.strictObject({ phase: z.literal('idle') }),
    z.strictObject({ phase: z.literal('computing'), round: count, shard: shardIndex }),
  ]),
});

/** The worker leaves on purpose; what it had to compute is free for others at once. */
const goodbye = z.strictObject({ type: z.literal('goodbye'), reason: text });

/** Everything a worker says to its coordinator. */
export const toCoordinator = z.discriminatedUnion('type', [
  ready,
  partial,
  outputs,
  failed,
  heartbeat,
  goodbye,
]);

export type ToCoordinator = z.infer<typeof toCoordinator>;
export type ToCoordinatorOf<Type extends ToCoordinator['type']> = Extract<ToCoordinator, { type: Type }>;
