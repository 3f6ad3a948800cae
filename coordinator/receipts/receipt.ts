import { z } from 'zod';
import { type Digest, digestLength, digestOf, digestPattern } from '../../shared/digest.js';

/*
 * RUNFOLDER/receipts.jsonl: what each committed step did, as digests; one JSON object a line.
 *
 *   {"lockstep":"receipts","format":1,"step":0,"seed":…,"shards":…,"batchSize":…,"manifestHash":…,
 *    "weights":…,"optimizer":…,"stats":…,"chain":…,"runId":…,"version":…,"backend":…,"variables":[…]}
 *   {"step":1,"epoch":0,"batch":0,"data":…,"sum":…,"weights":…,"optimizer":…,"stats":…,"chain":…}
 *   {"step":2,"epoch":0,"batch":1,"data":…,"skipped":true,"weights":…,"optimizer":…,"stats":…,"chain":…}
 *   {"step":2,"set":true,"weights":…,"optimizer":…,"stats":…,"chain":…}
 *
 * `chain` is the digest of the chain of the line before (nothing, on the first line), followed by the text of its own
 * line up to `,"chain":`. So the last one stands for all that the run did. What follows it on a line is no part of it.
 */

const digest = z.string().regex(digestPattern);
const count = z.int().nonnegative();

/** Digests one after the other. A pattern that repeats them would run out of stack on some megabytes. */
const areDigests = (text: string): boolean => text.length % digestLength === 0 && !/[^0-9a-f]/.test(text);

const stateDigests = {
  /** Of the trainable weights, float32 little-endian in manifest order. */
  weights: digest,
  /** Of the optimizer: see `digestsOfState`. */
  optimizer: digest,
  /** Of all other weights: BatchNorm's running statistics, and what is frozen. */
  stats: digest,
};

/** How the file begins: the run, and its state before the first step that it tells of. */
const header = z.strictObject({
  lockstep: z.literal('receipts'),
  format: z.literal(1),
  /** Steps committed before. */
  step: count,
  seed: z.int(),
  shards: count,
  batchSize: count,
  manifestHash: z.string(),
  ...stateDigests,
  chain: digest,
  runId: z.string(),
  version: z.string(),
  backend: z.string(),
  /** Trainable variables, as recorded shards list them. */
  variables: z.array(z.string()),
  /** Receipts before these were lost or changed: the chain is that of the checkpoint, and not computed. */
  continues: z.literal(true).optional(),
});

/** A step that was committed, or skipped because it was not finite: then it has no sum, and the state is as before. */
const step = z.strictObject({
  /** Steps of the whole run, this one included. */
  step: count,
  /** Epoch and batch count from 0. */
  epoch: count,
  batch: count,
  /** Of which samples the step consumed: see `dataDigest`. */
  data: digest,
  /** Of the gradient summed over all shards, before clipping. */
  sum: digest.optional(),
  skipped: z.literal(true).optional(),
  ...stateDigests,
  chain: digest,
  /** Where recorded: per shard, the digests of its own gradient of each variable, one after the other. */
  shards: z.array(z.string().refine(areDigests)).optional(),
});

/** Weights that a callback set between two steps. */
const set = z.strictObject({ step: count, set: z.literal(true), ...stateDigests, chain: digest });

export const receiptSchema = z.union([step, set, header]);

export type ReceiptsHeader = Readonly<z.infer<typeof header>>;
export type StepReceipt = Readonly<z.infer<typeof step>>;
export type SetReceipt = Readonly<z.infer<typeof set>>;
export type Receipt = StepReceipt | SetReceipt;
export type StateDigests = Pick<StepReceipt, 'weights' | 'optimizer' | 'stats'>;

export const isHeader = (line: Receipt | ReceiptsHeader): line is ReceiptsHeader => 'lockstep' in line;
export const isSet = (receipt: Receipt): receipt is SetReceipt => 'set' in receipt;

const chainField = ',"chain":';
const utf8 = new TextEncoder();

/** What the chain of a line must be. @param before chain of the line before; empty for the first line */
export function chainOf(before: Digest | '', line: string): Digest {
  const end = line.indexOf(chainField);
  return digestOf([utf8.encode(before + line.slice(0, end))]);
}

/**
 * Puts a line together.
 * @param chained what the chain covers
 * @param beside what it does not
 */
export function sealed<T extends object, U extends object>(
  before: Digest | '',
  chained: T,
  beside: U,
): { line: T & { chain: Digest } & U; text: string } {
  const body = JSON.stringify(chained).slice(0, -1);
  const chain = chainOf(before, body + chainField);
  const rest = JSON.stringify(beside).slice(1, -1);
  const text = `${body}${chainField}"${chain}"${rest === '' ? '' : `,${rest}`}}\n`;
  return { line: { ...chained, chain, ...beside }, text };
}
