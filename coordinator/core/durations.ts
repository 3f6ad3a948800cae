import type { RoundSpec } from './round.js';

/** Milliseconds per shard that recent answers took, by the shape of their shards. */
export type Durations = ReadonlyMap<string, readonly number[]>;

/** Of each shape. */
const maxSamples = 64;
/** A batch size of its own for each of many calls must not pile up. */
const maxShapes = 16;
/** Fewer say too little about what is usual. */
const minSamples = 5;

/** How far beyond what is usual: of a normal distribution, one answer in 10,000 is later than median + 6 · MAD. */
const deviations = 6;
/** On a calm machine the MAD is next to nothing; twice the median is still no reason to worry. */
const slack = 2;
/** A canary may be much smaller than a shard. */
const canaries = 100;

export interface DeadlineLimits {
  /** The shortest deadline of a unit: what scheduling, garbage collection and the network may add to its work. */
  readonly deadlineFloorMs: number;
  /** What a worker's first units may need beside their work: kernels are loaded, compilers warm up. */
  readonly warmUpMs: number;
  /** For each shard, while nothing is known about how long one takes. */
  readonly unknownShardMs: number;
}

type Shape = Pick<RoundSpec, 'kind' | 'rowsPerShard'>;

const keyOf = ({ kind, rowsPerShard }: Shape): string => `${kind} ${rowsPerShard}`;

/** Remembers how long a unit of `shards` took. */
export function withDuration(durations: Durations, shape: Shape, shards: number, tookMs: number): Durations {
  const key = keyOf(shape);
  const samples = [...(durations.get(key) ?? []), Math.max(0, tookMs) / shards].slice(-maxSamples);
  const others = [...durations].filter(([other]) => other !== key).slice(1 - maxShapes);
  return new Map([...others, [key, samples]]);
}

/**
 * How long a unit of `shards` may take before another worker computes it too:
 * n · max(median + 6 · MAD, 2 · median) over the recent answers, and a floor. Before there are five of them, a large
 * multiple of what the worker's canary took.
 * @param canaryMs what the worker needed for its canary, or null
 */
export function deadlineMs(
  durations: Durations,
  { shape, shards, canaryMs }: { shape: Shape; shards: number; canaryMs: number | null },
  { deadlineFloorMs, warmUpMs, unknownShardMs }: DeadlineLimits,
): number {
  const samples = durations.get(keyOf(shape)) ?? [];
  if (samples.length < minSamples) {
    return warmUpMs + shards * (canaryMs === null ? unknownShardMs : canaries * canaryMs);
  }
  const usual = medianOf(samples);
  const spread = medianOf(samples.map((sample) => Math.abs(sample - usual)));
  return deadlineFloorMs + shards * Math.max(usual + deviations * spread, slack * usual);
}

function medianOf(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}
