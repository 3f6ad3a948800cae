import { z } from 'zod';
import { digestPattern } from '../digest.js';

/** The fields that messages are made of. Everything has a bound: what is larger is not a message of ours. */

/** A non-negative integer that float64 holds exactly. */
export const count = z.int().nonnegative();

/** The most shards a run can have. */
export const maxShards = 65_536;

export const shardIndex = z
  .int()
  .nonnegative()
  .max(maxShards - 1);

/** SHA-256 as lower-case hexadecimal. */
export const sha256 = z.string().regex(/^[0-9a-f]{64}$/, 'expected 64 hexadecimal digits');

/** shared/digest.ts */
export const digest = z.string().regex(digestPattern, 'expected 32 hexadecimal digits');

export const dtype = z.enum(['float32', 'int32', 'uint8', 'bool']);

/** Row-major; at most as many axes as TensorFlow.js has, plus the batch axis of a sequence. */
export const shape = z
  .array(
    z
      .int()
      .nonnegative()
      .max(2 ** 31 - 1),
  )
  .max(8);

/** Where a tensor's bytes go; they follow in the payload in the same order, each padded to 8 bytes. */
export const tensorHeader = z.strictObject({ dtype, shape });

export type TensorHeader = z.infer<typeof tensorHeader>;

/** A tensor of a shard: input, target or sample weights number `index`. */
export const shardTensorHeader = tensorHeader.extend({
  role: z.enum(['x', 'y', 'weight']),
  index: z.int().nonnegative().max(999),
});

export type ShardTensorHeader = z.infer<typeof shardTensorHeader>;

const maxTextLength = 4_000;

/** Text for people: kept short so that a peer cannot flood a log. */
export const text = z.string().max(maxTextLength);

/** The beginning of a message that others wrote, as much of it as may be sent. */
export function cutToText(message: string): string {
  return message.slice(0, maxTextLength);
}

export const name = z.string().max(512);

/** Shards `[lo, hi)`, never empty. */
export const rangeFields = {
  lo: shardIndex,
  hi: z.int().positive().max(maxShards),
};

export const isRange = ({ lo, hi }: { lo: number; hi: number }): boolean => lo < hi;
