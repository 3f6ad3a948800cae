import type { Manifest } from '../../shared/manifest.js';

/** The position a schedule is asked about. */
export interface SchedulePoint {
  /** Steps committed before this one, over the whole run. */
  readonly step: number;
  readonly epoch: number;
}

/** A learning rate that changes with the step. */
export interface Schedule {
  readonly name: string;
  at(point: SchedulePoint): number;
}

/** Gradient clipping, after averaging; at most one of the three, as in Keras. */
export interface Clipping {
  /** Each element into [-clipValue, clipValue]. */
  readonly clipValue?: number;
  /** Each variable's gradient to this L2 norm. */
  readonly clipNorm?: number;
  /** All gradients together to this L2 norm. */
  readonly globalClipNorm?: number;
}

export type OptimizerName =
  | 'sgd'
  | 'adagrad'
  | 'adadelta'
  | 'rmsprop'
  | 'adam'
  | 'adamw'
  | 'adamax'
  | 'nadam';

/** An optimizer as configured: plain data but for the schedule. Made by `sgd(...)`, `adam(...)`, … */
export interface OptimizerConfig extends Clipping {
  readonly name: OptimizerName;
  readonly learningRate: number | Schedule;
  /** Numbers and flags under Keras's names in camelCase, defaults filled in. */
  readonly params: Readonly<Record<string, number | boolean>>;
  /** Decoupled weight decay, or 0. */
  readonly weightDecay: number;
}

/** The slots of one variable, by slot name (`m`, `v`, `momentum`, …): float32[size]. Scalars are float32[1]. */
export type Slots = Readonly<Record<string, Float32Array>>;

/**
 * Applies an update rule to flat buffers. Slots are keyed by the variable's name, so freezing a layer between
 * two fits never shifts them.
 */
export interface Optimizer {
  readonly config: OptimizerConfig;
  /**
   * Reads `weights` and `gradient`, writes the new trainable weights to `next` (all float32; the first
   * `manifest.trainableSize` elements) and advances the slots in place. `gradient` is overwritten by clipping.
   * `learningRate` is that of this step; `iteration` counts this optimizer's updates from 0.
   */
  apply(update: {
    manifest: Manifest;
    weights: Float32Array;
    gradient: Float32Array;
    next: Float32Array;
    learningRate: number;
    iteration: number;
  }): void;
  /** Slots by variable name, for checkpoints; live views. */
  slots(): ReadonlyMap<string, Slots>;
  /** @throws LockstepError CHECKPOINT_MISMATCH if they do not fit this optimizer */
  loadSlots(slots: ReadonlyMap<string, Slots>): void;
}
