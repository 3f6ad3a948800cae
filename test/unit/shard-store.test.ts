import { describe, expect, it } from 'vitest';
import { RoundData } from '../../coordinator/server/round-data.js';
import type { ShardData } from '../../shared/program.js';
import { ShardStore } from '../../worker/compute/shard-store.js';

const data = (value: number): ShardData => ({
  x: [{ dtype: 'float32', shape: [1], data: Float32Array.of(value) }],
  y: [],
  sampleWeights: [],
});

describe('the store of shards', () => {
  it('keeps the data of this round and of those sent ahead apart', () => {
    const store = new ShardStore();
    store.put(4, 0, data(1));
    store.put(4, 1, data(2));
    store.put(5, 0, data(3));
    expect([store.get(4, 0), store.get(4, 1), store.get(5, 0)]).toEqual([data(1), data(2), data(3)]);
  });

  it('has nothing that was not sent', () => {
    const store = new ShardStore();
    store.put(4, 0, data(1));
    const refused = expect.objectContaining({ code: 'PEER_MISBEHAVED' });
    expect(() => store.get(4, 1)).toThrow(refused);
    expect(() => store.get(5, 0)).toThrow(refused);
  });

  it('lets go of rounds that are over, and of one that is cancelled', () => {
    const store = new ShardStore();
    for (const round of [4, 5, 6]) store.put(round, 0, data(round));
    store.dropBefore(5);
    expect(() => store.get(4, 0)).toThrow();
    expect(store.get(5, 0)).toEqual(data(5));
    store.drop(6);
    expect(() => store.get(6, 0)).toThrow();
    expect(store.get(5, 0)).toEqual(data(5));
    store.clear();
    expect(() => store.get(5, 0)).toThrow();
  });

  it('is bounded: a coordinator that sends more rounds ahead than agreed is refused', () => {
    const store = new ShardStore();
    for (const round of [1, 2, 3]) store.put(round, 0, data(round));
    expect(() => store.put(4, 0, data(4))).toThrow(expect.objectContaining({ code: 'PEER_MISBEHAVED' }));
  });
});

describe('the data of a round', () => {
  const rows = (values: number[]) => ({
    dtype: 'float32' as const,
    shape: [values.length],
    data: Float32Array.from(values),
  });
  const batch = {
    x: [
      rows([0, 1, 2, 3, 4]),
      { dtype: 'uint8' as const, shape: [5, 2], data: Uint8Array.from({ length: 10 }, (_, i) => i) },
    ],
    y: [rows([5, 6, 7, 8, 9])],
  };

  it('gives each shard its rows of every tensor, without a copy', () => {
    const round = new RoundData(batch, 5, 8, 4);
    expect(round.plan.present).toBe(3);
    const [ids, pixels] = round.shard(1).x;
    expect(ids).toEqual(rows([2, 3]));
    expect(pixels).toEqual({ dtype: 'uint8', shape: [2, 2], data: Uint8Array.of(4, 5, 6, 7) });
    expect(round.shard(2).y).toEqual([rows([9])]);
    expect(ids.data.buffer).toBe(batch.x[0].data.buffer);
  });

  it('gives each output its sample weights, or null', () => {
    const round = new RoundData(batch, 5, 8, 4);
    expect(round.shard(0).sampleWeights).toEqual([null]);
    const weighted = new RoundData(
      { ...batch, y: [...batch.y, ...batch.y], sampleWeights: [null, rows([1, 2, 3, 4, 5])] },
      5,
      8,
      4,
    );
    expect(weighted.shard(1).sampleWeights).toEqual([null, rows([3, 4])]);
  });
});
