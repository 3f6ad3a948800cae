import { expect, it } from 'vitest';
import { commitStep } from '../../coordinator/loop/commit-step.js';
import { ModelState } from '../../coordinator/loop/model-state.js';
import { sgd } from '../../coordinator/optimizer/configs.js';
import type { RoundOutcome } from '../../coordinator/round.js';
import type { Manifest } from '../../shared/manifest.js';
import type { ProgramSpec } from '../../shared/program.js';

const manifest: Manifest = {
  weights: [{ name: 'w', shape: [1], size: 1, trainable: true, offset: 0 }],
  trainableSize: 1,
  totalSize: 1,
  batchNorms: [],
  frozenLayers: [],
};

const program: ProgramSpec = {
  topology: {},
  frozenLayers: [],
  outputs: [{ name: 'out', loss: { kind: 'builtin', name: 'meanSquaredError', params: {} }, lossWeight: 1 }],
  metrics: [],
  seed: 1,
};

/** @param sums regularisation, Σ loss, elements */
function outcomeOf(...sums: number[]): RoundOutcome {
  const sum = { gradient: Float32Array.of(1), sums: Float64Array.from(sums), moments: [], scores: [] };
  return { sum, outputs: [], digests: new Map(), roundMs: 0, computeMs: 0, broadcastMs: 0, reduceMs: 0 };
}

it.each([
  ['an infinite number of elements, which makes the loss 0', outcomeOf(0, 3, Number.POSITIVE_INFINITY)],
  ['an infinite loss', outcomeOf(0, Number.POSITIVE_INFINITY, 3)],
  ['a regularisation that is NaN', outcomeOf(Number.NaN, 3, 3)],
])('does not commit %s', (_, outcome) => {
  const state = new ModelState({
    manifest,
    flat: Float32Array.of(5),
    optimizer: sgd({ learningRate: 1 }),
    constraints: [],
  });
  const plan = { program, state, receipts: null };
  expect(commitStep(plan, { step: 1, epoch: 0 }, outcome)).toMatchObject({ kind: 'not-finite' });
  expect([...state.weights.flat]).toEqual([5]);
  expect(commitStep(plan, { step: 1, epoch: 0 }, outcomeOf(0, 3, 3))).toMatchObject({ kind: 'committed' });
  expect([...state.weights.flat]).toEqual([4]);
});
