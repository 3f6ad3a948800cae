import { z } from 'zod';
import { digestPattern } from '../../shared/digest.js';
import type { Json } from '../../shared/json.js';
import type { Manifest } from '../../shared/manifest.js';
import { sizeOf } from '../../shared/tensors.js';

const count = z.int().nonnegative();
/** Any float64, also those that JSON cannot say (exact-json.ts writes them). */
const anyNumber = z.custom<number>((value) => typeof value === 'number', 'expected a number');
const json = z.custom<Json>(isJson, 'expected plain data');
const sha256 = z.string().regex(/^[0-9a-f]{64}$/);
const digest = z.string().regex(digestPattern);

function isJson(value: unknown): boolean {
  if (value === null || ['boolean', 'number', 'string'].includes(typeof value)) return true;
  return typeof value === 'object' && value !== null && Object.values(value).every(isJson);
}

const manifest = z
  .strictObject({
    weights: z.array(
      z.strictObject({
        name: z.string(),
        shape: z.array(count),
        size: count,
        trainable: z.boolean(),
        offset: count,
      }),
    ),
    trainableSize: count,
    totalSize: count,
    batchNorms: z.array(
      z.strictObject({
        layer: z.string(),
        momentum: anyNumber,
        channels: count,
        mean: count,
        variance: count,
      }),
    ),
    frozenLayers: z.array(z.string()),
  })
  .refine(isConsistent, 'the weights do not add up');

/** Whether the weights tile the flat vector, the trainable ones first. */
function isConsistent({ weights, trainableSize, totalSize }: Manifest): boolean {
  let end = 0;
  for (const weight of [...weights].sort((a, b) => a.offset - b.offset || a.size - b.size)) {
    if (weight.offset !== end || weight.size !== sizeOf(weight.shape)) return false;
    end += weight.size;
    if (weight.size > 0 && weight.trainable !== end <= trainableSize) return false;
  }
  return end === totalSize && trainableSize <= totalSize;
}

/** Where a run stands, as plain data; `run.json` of a checkpoint. Tensors are in the files beside it. */
const runState = z.strictObject({
  runId: z.string(),
  /** Version of Lockstep that wrote it. */
  version: z.string(),
  /** The coordinator's term. */
  term: count,
  /** Steps committed in the whole run. */
  step: count,
  /** The open epoch, or the next one to begin. */
  epoch: count,
  /** Batches of the open epoch committed so far; 0 when the epoch has not begun. */
  batch: count,
  /** What `BatchSource.open` continues from; null when the epoch has not begun. */
  cursor: json,
  /** Whether a callback ended the training: nothing is left to resume. */
  stopped: z.boolean(),
  /** Training samples counted in the whole run. */
  samplesSeen: count,
  shards: count,
  seed: z.int(),
  batchSize: count,
  /** The loss and what else a resume must not change, by name (loop/settings.ts). */
  settings: z.record(z.string(), json),
  optimizer: z.strictObject({
    /** The optimizer's configuration as plain data. */
    config: json,
    /** Updates so far. */
    iteration: count,
    /** The constant that a callback put in the schedule's place, or null. */
    learningRate: anyNumber.nullable(),
  }),
  backend: z.string(),
  program: z.string(),
  fingerprint: json,
  /** What the canary shard of a program came to, both as SHA-256; null where there is none. */
  canary: z.strictObject({ program: sha256, sha256 }).nullable().default(null),
  /** How workers that computed for the run differ from it. */
  mixed: z.array(z.string()).default([]),
  manifestHash: z.string(),
  /** Steps that were not finite and skipped, counted from 1. */
  skippedSteps: z.array(count).default([]),
  /** The chain of the receipts up to this step; null if the run keeps none. */
  receiptsChain: digest.nullable().default(null),
  /** Each callback's values by its key, the history's among them. */
  callbacks: z.record(z.string(), z.record(z.string(), json)),
});

export type RunState = Readonly<z.infer<typeof runState>>;

/** The version of the checkpoint's layout. */
export const checkpointFormat = 2;

/** The whole of `run.json`. */
export const runFile = z.strictObject({
  format: z.literal(checkpointFormat),
  run: runState,
  manifest,
  /** The other files of the checkpoint. */
  files: z.record(z.string(), z.strictObject({ bytes: count, sha256 })),
});

export type RunFile = z.infer<typeof runFile>;
