import { describe, expect, it } from 'vitest';
import { ActiveRound, type ShardResult } from '../../coordinator/active-round.js';
import type { RoundSpec } from '../../coordinator/core/round.js';
import type { RoundOutcome } from '../../coordinator/round.js';
import { RoundData } from '../../coordinator/server/round-data.js';
import type { RunPoint } from '../../shared/run-point.js';
import { VirtualClock } from '../simulation/virtual-clock.js';

const clock = new VirtualClock();
const batchRows = 6;
/** Shards of two rows: 0, 1 and 2. */
const data = new RoundData(
  { x: [{ dtype: 'float32', shape: [batchRows, 1], data: new Float32Array(batchRows) }], y: [] },
  batchRows,
  8,
  4,
);

function round(
  kind: RoundSpec['kind'],
  onPoint?: (point: RunPoint) => void,
): { active: ActiveRound; outcome: Promise<RoundOutcome> } {
  const { present } = data.plan;
  const spec = { id: 1, kind, step: 5, shards: 4, present, rowsPerShard: 2, audited: [] };
  const weights = { version: 1, flat: new Float32Array(1), lend: () => () => {} };
  const request = {
    spec,
    name: 'batch 6 of epoch 1',
    batchRows,
    digest: false,
    data,
    indices: null,
    weights,
  };
  let active: ActiveRound | null = null;
  const outcome = new Promise<RoundOutcome>((resolve, reject) => {
    active = new ActiveRound(request, 0, { resolve, reject }, onPoint);
  });
  return { active: active as unknown as ActiveRound, outcome };
}

function partialOf(batchNorms: readonly number[]): ShardResult {
  const moments = batchNorms.map((batchNorm) => ({
    batchNorm,
    count: 2,
    mean: Float64Array.of(0),
    m2: Float64Array.of(1),
  }));
  const partial = { gradient: Float32Array.of(1), sums: Float64Array.of(1), moments, scores: [] };
  return { partial, outputs: null, computeMs: 1, digests: [] };
}

function outputsOf(...shapes: (readonly [number, ...number[]])[]): ShardResult {
  const outputs = shapes.map((shape) => ({
    dtype: 'float32' as const,
    shape,
    data: new Float32Array(shape.reduce((size, length) => size * length, 1)),
  }));
  return { partial: null, outputs, computeMs: 1, digests: [] };
}

describe('a round', () => {
  it('takes no partial that calls other BatchNorm layers than those accepted', () => {
    const { active } = round('train');
    active.accept(0, { lo: 0, hi: 1 }, partialOf([0, 1]), clock);
    expect(active.fits({ lo: 1, hi: 2 }, partialOf([0, 1]))).toBe(true);
    expect(active.fits({ lo: 1, hi: 2 }, partialOf([1, 0]))).toBe(false);
    expect(active.fits({ lo: 1, hi: 2 }, partialOf([]))).toBe(false);
  });

  it('does not judge others by a partial that was never accepted', () => {
    const { active } = round('train');
    active.fits({ lo: 1, hi: 2 }, partialOf([]));
    expect(active.fits({ lo: 0, hi: 1 }, partialOf([0, 1]))).toBe(true);
  });

  it('takes a prediction only for as many rows as its shards have, and of one form', () => {
    const { active } = round('predict');
    expect(active.fits({ lo: 0, hi: 2 }, outputsOf([3, 5]))).toBe(false);
    expect(active.fits({ lo: 0, hi: 2 }, outputsOf([4, 5]))).toBe(true);
    active.accept(0, { lo: 0, hi: 2 }, outputsOf([4, 5]), clock);
    expect(active.fits({ lo: 2, hi: 3 }, outputsOf([2, 6]))).toBe(false);
    expect(active.fits({ lo: 2, hi: 3 }, outputsOf([2, 5], [2, 5]))).toBe(false);
    expect(active.fits({ lo: 2, hi: 3 }, outputsOf([2, 5]))).toBe(true);
  });

  it('gives the outputs in the order of rows, whoever comes first', async () => {
    const { active, outcome } = round('predict');
    active.accept(1, { lo: 2, hi: 3 }, outputsOf([2, 5]), clock);
    active.accept(0, { lo: 0, hi: 2 }, outputsOf([4, 5]), clock);
    active.complete(7);
    const { outputs, roundMs } = await outcome;
    expect(outputs.map(([tensor]) => tensor.shape[0])).toEqual([4, 2]);
    expect(roundMs).toBe(7);
  });

  it('says where a step of training is, and nothing of a prediction', () => {
    const points: RunPoint[] = [];
    const { active } = round('train', (point) => points.push(point));
    active.accept(7, { lo: 0, hi: 2 }, partialOf([0]), clock);
    active.accept(8, { lo: 2, hi: 3 }, partialOf([0]), clock);
    active.complete(9);
    expect(points).toEqual([
      { phase: 'idle', step: 5, worker: null, shards: 0 },
      { phase: 'reducing', step: 5, worker: 7, shards: 2 },
      { phase: 'reducing', step: 5, worker: 8, shards: 1 },
      { phase: 'committing', step: 5, worker: null, shards: 0 },
    ]);
    points.length = 0;
    const other = round('predict', (point) => points.push(point));
    other.active.accept(7, { lo: 0, hi: 2 }, outputsOf([4, 5]), clock);
    expect(points).toEqual([]);
  });
});
