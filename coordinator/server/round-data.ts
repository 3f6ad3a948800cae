import type { ShardData } from '../../shared/program.js';
import { type HostTensor, sliceRows } from '../../shared/tensors.js';
import { planShards, type ShardPlan, type ShardRange } from '../../shared/tree.js';
import type { Batch } from '../data/dataset.js';

/** A global batch, cut into shards. Shards are views of the batch; nothing is copied. */
export class RoundData {
  readonly plan: ShardPlan;
  readonly #batch: Batch;

  /** @param batchSize rows of a full batch: every batch, also the last, is cut by the same rows per shard */
  constructor(batch: Batch, rows: number, batchSize: number, shards: number) {
    this.#batch = batch;
    this.plan = planShards(rows, batchSize, shards);
  }

  /** Of the whole batch, padding aside. */
  get bytes(): number {
    const { x, y, sampleWeights } = this.#batch;
    const weights = (sampleWeights ?? []).flatMap((tensor) => tensor ?? []);
    return [...x, ...y, ...weights].reduce((sum, { data }) => sum + data.byteLength, 0);
  }

  shard(shard: number): ShardData {
    const { lo, hi } = this.plan.rowsOf(shard);
    const rows = (tensor: HostTensor): HostTensor => sliceRows(tensor, lo, hi);
    const { x, y, sampleWeights } = this.#batch;
    return {
      x: x.map(rows),
      y: y.map(rows),
      sampleWeights: y.map((_, output) => {
        const weights = sampleWeights?.[output] ?? null;
        return weights === null ? null : rows(weights);
      }),
    };
  }
}

export function shardsIn(range: ShardRange): number[] {
  return Array.from({ length: range.hi - range.lo }, (_, i) => range.lo + i);
}
