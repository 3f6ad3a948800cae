import type { ShardRange } from '../../shared/tree.js';
import type { RoundSpec } from './round.js';

/** Shards as people name them: `shard 5`, `shards 4 to 7`. */
export function nameOfShards({ lo, hi }: ShardRange): string {
  return hi - lo === 1 ? `shard ${lo}` : `shards ${lo} to ${hi - 1}`;
}

/** A round as people name it; steps and batches are counted from 1. */
export function nameOfRound({ kind, step }: Pick<RoundSpec, 'kind' | 'step'>): string {
  if (kind === 'train') return `step ${step + 1}`;
  return `batch ${step + 1} of the ${kind === 'evaluate' ? 'evaluation' : 'prediction'}`;
}

/** `worker 3`, `workers 3 and 5`, `workers 1, 3 and 5` */
export function nameOfWorkers(workers: readonly number[]): string {
  if (workers.length === 1) return `worker ${workers[0]}`;
  return `workers ${workers.slice(0, -1).join(', ')} and ${workers.at(-1)}`;
}

export function seconds(milliseconds: number): string {
  return `${(milliseconds / 1_000).toFixed(1)} s`;
}
