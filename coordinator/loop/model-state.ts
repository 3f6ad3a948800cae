import { LockstepError } from '../../shared/errors.js';
import { flatten, type Manifest, unflatten } from '../../shared/manifest.js';
import type { ShardPartial } from '../../shared/partial.js';
import type { WeightConstraint } from '../optimizer/constraints.js';
import { createOptimizer } from '../optimizer/flat-optimizer.js';
import type { Optimizer, OptimizerConfig, Slots } from '../optimizer/optimizer.js';
import { learningRateAt } from '../optimizer/schedules.js';
import { firstNonFiniteLayer, updateRunningStatistics } from '../reduce/batch-norm.js';
import { firstNonFinite } from '../reduce/clip.js';
import type { WeightsVersion } from '../round.js';

/** Versions name weights over the life of the process: two models never share one. */
let versions = 0;

/**
 * The weights and the optimizer of a run. The next step is built in a second buffer; `commit` swaps the two, so
 * what is committed is never half of anything. docs/benchmarks.md has the coordinator's memory as a formula.
 */
export class ModelState {
  readonly manifest: Manifest;
  readonly optimizer: Optimizer;
  readonly #constraints: readonly WeightConstraint[];
  #committed: Float32Array;
  #next: Float32Array;
  /** How many connections have not yet sent a buffer out. */
  readonly #lent = new Map<Float32Array, number>();
  #version = ++versions;
  #iteration = 0;
  #learningRate: number | null = null;

  constructor(options: {
    manifest: Manifest;
    /** float32[totalSize]; copied. */
    flat: Float32Array;
    optimizer: OptimizerConfig;
    constraints: readonly WeightConstraint[];
  }) {
    this.manifest = options.manifest;
    this.optimizer = createOptimizer(options.optimizer);
    this.#constraints = options.constraints;
    this.#committed = options.flat.slice();
    this.#next = new Float32Array(options.flat.length);
  }

  /** The committed weights; they stay as they are until the commit after the next, and for as long as they are lent. */
  get weights(): WeightsVersion {
    const flat = this.#committed;
    return {
      version: this.#version,
      flat,
      lend: () => {
        this.#lent.set(flat, (this.#lent.get(flat) ?? 0) + 1);
        return () => {
          const left = (this.#lent.get(flat) ?? 0) - 1;
          if (left > 0) this.#lent.set(flat, left);
          else this.#lent.delete(flat);
        };
      },
    };
  }

  /** Updates of the optimizer so far. */
  get iteration(): number {
    return this.#iteration;
  }

  /** The constant that a callback put in the schedule's place, or null. */
  get fixedLearningRate(): number | null {
    return this.#learningRate;
  }

  learningRate(epoch: number): number {
    if (this.#learningRate !== null) return this.#learningRate;
    return learningRateAt(this.optimizer.config.learningRate, { step: this.#iteration, epoch });
  }

  setLearningRate(rate: number | null): void {
    if (rate !== null && !(rate >= 0)) {
      throw new LockstepError(
        'BAD_OPTION',
        `the learning rate became ${rate}, expected a number of at least 0`,
        {
          hint: 'Look at the callback or schedule that set it.',
        },
      );
    }
    this.#learningRate = rate;
  }

  /**
   * Applies one step: clipping, the update rule, weight constraints, BatchNorm's running statistics; then commits.
   * Takes over `sum`.
   * @throws LockstepError NOT_FINITE, and nothing has changed
   */
  step({ gradient, moments }: ShardPartial, epoch: number): void {
    const { manifest } = this;
    const bad = firstNonFinite(manifest, gradient);
    const layer = firstNonFiniteLayer(manifest, moments);
    if (bad !== null || layer !== null) {
      const what =
        bad === null ? `the batch statistics of ${layer} hold` : `the gradient of ${bad.weight} holds`;
      throw new LockstepError('NOT_FINITE', `${what} NaN or Inf`, {
        hint: 'Lower the learning rate, clip gradients (globalClipNorm), or look for extreme values in the data.',
      });
    }
    const next = this.#spare();
    next.set(this.#committed.subarray(manifest.trainableSize), manifest.trainableSize);
    this.optimizer.apply({
      manifest,
      weights: this.#committed,
      gradient,
      next,
      learningRate: this.learningRate(epoch),
      iteration: this.#iteration,
    });
    for (const { weightIndex, apply } of this.#constraints) {
      const { offset, size, shape } = manifest.weights[weightIndex];
      apply(next.subarray(offset, offset + size), shape);
    }
    updateRunningStatistics(manifest, next, moments);
    this.#iteration += 1;
    this.#commit();
  }

  /** Copies of the weights in the order of `model.getWeights()`. */
  getWeights(): Float32Array[] {
    return unflatten(this.manifest, this.#committed).map((weight) => weight.slice());
  }

  /** Commits weights that a callback set. @throws LockstepError SHAPE_MISMATCH */
  setWeights(weights: readonly Float32Array[]): void {
    const { weights: specs } = this.manifest;
    const wrong = specs.findIndex(({ size }, index) => weights[index]?.length !== size);
    if (weights.length !== specs.length || wrong >= 0) {
      throw new LockstepError('SHAPE_MISMATCH', 'setWeights was given other weights than the model has', {
        hint: 'Give one Float32Array per weight, in the order of model.getWeights().',
      });
    }
    this.#spare().set(flatten(this.manifest, weights));
    this.#commit();
  }

  /** An immutable copy of what is committed, for a checkpoint. */
  copy(): { flat: Float32Array; slots: Map<string, Slots> } {
    const slots = new Map<string, Slots>();
    for (const [variable, byName] of this.optimizer.slots()) {
      slots.set(
        variable,
        Object.fromEntries(Object.entries(byName).map(([slot, data]) => [slot, data.slice()])),
      );
    }
    return { flat: this.#committed.slice(), slots };
  }

  /** @throws LockstepError CHECKPOINT_MISMATCH if the slots are not this optimizer's */
  restore(saved: {
    flat: Float32Array;
    slots: ReadonlyMap<string, Slots>;
    iteration: number;
    learningRate: number | null;
  }): void {
    this.optimizer.loadSlots(saved.slots);
    this.#spare().set(saved.flat);
    this.#iteration = saved.iteration;
    this.#learningRate = saved.learningRate;
    this.#commit();
  }

  /** The second buffer. A worker whose line is slow may still be waiting for what it held: then another takes its place. */
  #spare(): Float32Array {
    if (this.#lent.has(this.#next)) this.#next = new Float32Array(this.#next.length);
    return this.#next;
  }

  #commit(): void {
    [this.#committed, this.#next] = [this.#next, this.#committed];
    this.#version = ++versions;
  }
}
