import type { Slots } from '../optimizer.js';

/**
 * One variable's share of an update: views of the flat buffers, all float32[size]. `next` may be the same
 * memory as `weights`.
 */
export interface VariableUpdate {
  readonly weights: Float32Array;
  readonly gradient: Float32Array;
  readonly next: Float32Array;
  readonly slots: Slots;
  readonly learningRate: number;
  /** Updates of the optimizer before this one. */
  readonly iteration: number;
  /** 1 - weightDecay · learningRate: what decoupled weight decay leaves of a weight before the update. */
  readonly shrink: number;
}

/**
 * An optimizer's formula. Each element is computed in float64 and rounded to float32 where it is stored, so
 * the bits are those of IEEE 754 on any machine. The loops take what does not change out of the way by hand:
 * they run over every parameter in every step.
 */
export interface UpdateRule {
  /** The slots each variable has, with the value they start from. */
  readonly slots: Readonly<Record<string, number>>;
  update(variable: VariableUpdate): void;
}
