import { describe, expect, it } from 'vitest';
import type { ShardPartial } from '../../shared/partial.js';
import type { ShardProgram, ShardTask } from '../../shared/program.js';
import type { ShardFault, WorkerFaultReport } from '../../shared/worker-faults.js';
import { faultyProgram, ShardFaults } from '../../worker/compute/faulty-program.js';

const partialOf = (): ShardPartial => ({
  gradient: Float32Array.of(1, -2, 3),
  sums: Float64Array.of(4),
  moments: [],
  scores: [],
});

const program: ShardProgram = {
  setWeights() {},
  train: async () => partialOf(),
  evaluate: async () => partialOf(),
  predict: async () => [],
  dispose() {},
};

const task = (step: number, shard: number): ShardTask => ({
  step,
  shard,
  batchRows: 8,
  data: { x: [], y: [], sampleWeights: [] },
});

function disturbed(...armed: readonly ShardFault[]) {
  const log: (WorkerFaultReport | { held: number | null })[] = [];
  const faults = new ShardFaults({
    report: (report) => log.push(report),
    hold: (ms) => log.push({ held: ms }),
  });
  for (const fault of armed) faults.arm(fault);
  return { program: faultyProgram(program, faults), faults, log };
}

const fault = (action: ShardFault['action'], step: number, holdMs: number | null = null): ShardFault => ({
  type: 'arm',
  id: action,
  action,
  step,
  holdMs,
});

describe('a program under faults', () => {
  it('holds the first shard of the step, or of a later one, before it is computed', async () => {
    const { program, log } = disturbed(fault('hold', 4, 250));
    await program.train(task(3, 1));
    await program.train(task(5, 2));
    await program.train(task(5, 3));
    expect(log).toEqual([
      { type: 'begun', step: 3, shard: 1 },
      { type: 'begun', step: 5, shard: 2 },
      { type: 'struck', id: 'hold', step: 5, shard: 2 },
      { held: 250 },
      { type: 'begun', step: 5, shard: 3 },
    ]);
  });

  it('gives NaN once, and says where', async () => {
    const { program, log } = disturbed(fault('nan', 0));
    expect((await program.train(task(0, 7))).gradient).toEqual(Float32Array.of(Number.NaN, -2, 3));
    expect((await program.train(task(0, 8))).gradient).toEqual(Float32Array.of(1, -2, 3));
    expect(log.filter((entry) => 'id' in entry)).toEqual([{ type: 'struck', id: 'nan', step: 0, shard: 7 }]);
  });

  it('gives finite numbers that are wrong in every element', async () => {
    const { program } = disturbed(fault('wrong', 0));
    const { gradient } = await program.train(task(0, 0));
    expect(gradient).toEqual(Float32Array.of(1.0009765625, -2.001953125, 3.0029296875));
  });

  it('forgets what was taken back', async () => {
    const { program, faults, log } = disturbed(fault('nan', 0), fault('hold', 0));
    faults.disarm('nan');
    faults.disarm('hold');
    expect((await program.train(task(0, 0))).gradient).toEqual(Float32Array.of(1, -2, 3));
    expect(log).toEqual([{ type: 'begun', step: 0, shard: 0 }]);
  });

  it('leaves evaluations alone', async () => {
    const { program, log } = disturbed(fault('nan', 0), fault('hold', 0));
    expect((await program.evaluate(task(0, 0))).gradient).toEqual(Float32Array.of(1, -2, 3));
    expect(log).toEqual([]);
  });
});
