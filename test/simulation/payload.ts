import type { ShardPartial } from '../../shared/partial.js';
import { deriveSeed, Random } from '../../shared/random.js';

const elements = 6;

/** What a shard gives: values of many magnitudes, so that any other order of additions gives other bits. */
export function payloadOf(seed: number, roundId: number, shard: number): ShardPartial {
  const random = new Random(deriveSeed(seed, 'shard', roundId, shard));
  const gradient = Float32Array.from(
    { length: elements },
    () => random.normal() * 10 ** (random.below(9) - 4),
  );
  return { gradient, sums: Float64Array.of(random.normal()), moments: [], scores: [] };
}

export function bitsOf({ gradient, sums }: ShardPartial): string {
  return [gradient, sums].map(({ buffer }) => Buffer.from(buffer).toString('hex')).join(' ');
}
