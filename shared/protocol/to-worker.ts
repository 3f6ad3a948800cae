import { z } from 'zod';
import { backendChoices } from '../backends.js';
import type { ProgramSpec } from '../program.js';
import {
  count,
  isRange,
  maxShards,
  name,
  rangeFields,
  sha256,
  shardIndex,
  shardTensorHeader,
  text,
} from './fields.js';
import { rejectCode } from './reject.js';
import { areShardTensors } from './tensor-payload.js';

const functionRef = z.discriminatedUnion('kind', [
  z.strictObject({
    kind: z.literal('builtin'),
    name,
    params: z.record(name, z.union([z.number(), z.boolean()])),
  }),
  z.strictObject({ kind: z.literal('job'), key: name, name }),
]);

/** shared/program.ts as it travels. The topology is any JSON; the frame's header bound limits its size. */
export const programSpec = z.strictObject({
  topology: z.json(),
  frozenLayers: z.array(name).max(100_000),
  outputs: z.array(z.strictObject({ name, loss: functionRef, lossWeight: z.number() })).max(1_000),
  metrics: z
    .array(z.strictObject({ output: count, metric: functionRef, weighted: z.boolean(), label: name }))
    .max(1_000),
  seed: z.int(),
}) satisfies z.ZodType<ProgramSpec>;

/** What a worker is to compute with. The first message after the handshake, and once per connection. */
const setup = z.strictObject({
  type: z.literal('setup'),
  program: programSpec,
  /** The worker's model, built from the topology, must give the same manifest. */
  manifestHash: sha256,
  backend: z.enum(backendChoices),
  /** Compute threads. */
  threads: z.int().positive().max(1_024),
  /** Of the job file, where the program refers to functions of it: the worker's own copy must have this hash. */
  jobSha256: sha256.nullable(),
  /** Each side sends a heartbeat this often. */
  heartbeatMs: z.int().positive().max(3_600_000),
  /** The shard that shows the worker's bits, of so many rows; null where nothing is trained. */
  canary: z
    .strictObject({
      rows: z
        .int()
        .positive()
        .max(2 ** 31 - 1),
    })
    .nullable(),
});

/** Payload: float32[totalSize], the flat vector in manifest order. Replaces the weights the worker has. */
const weights = z.strictObject({ type: z.literal('weights'), version: count });

/** Payload: the tensors of one shard. They may come before the `compute` that uses them. */
const data = z.strictObject({
  type: z.literal('data'),
  round: count,
  shard: shardIndex,
  tensors: z
    .array(shardTensorHeader)
    .max(3_000)
    .refine(areShardTensors, 'expected inputs and targets in order, and weights of targets'),
});

/** Compute the shards `[lo, hi)` of a round, whose data has been sent, and send what they add up to. */
const compute = z
  .strictObject({
    type: z.literal('compute'),
    round: count,
    kind: z.enum(['train', 'evaluate', 'predict']),
    /** Of the weights to use; they have been sent before. */
    version: count,
    /** Global step, from 0: seeds derive from it. */
    step: count,
    /** Rows of the whole batch. */
    batchRows: count,
    /** Whether the partials must hold the digests of each shard's own gradient. */
    digest: z.boolean(),
    /** S, the run's shard count. */
    shards: z.int().positive().max(maxShards),
    ...rangeFields,
  })
  .refine((message) => isRange(message) && message.hi <= message.shards, 'expected lo < hi <= shards');

/** Nothing of this round is wanted any more; its data can be dropped. */
const cancel = z.strictObject({ type: z.literal('cancel'), round: count });

const heartbeat = z.strictObject({ type: z.literal('heartbeat') });

/** Something the worker sent is not accepted; it has no effect on the run. The connection stays. */
const rejected = z.strictObject({ type: z.literal('rejected'), code: rejectCode, message: text });

/** The coordinator closes the connection next; do not come back. */
const goodbye = z.strictObject({ type: z.literal('goodbye'), reason: text });

/** Everything a coordinator says to a worker. */
export const toWorker = z.discriminatedUnion('type', [
  setup,
  weights,
  data,
  compute,
  cancel,
  heartbeat,
  rejected,
  goodbye,
]);

export type ToWorker = z.infer<typeof toWorker>;
export type ToWorkerOf<Type extends ToWorker['type']> = Extract<ToWorker, { type: Type }>;
