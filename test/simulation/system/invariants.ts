import type { Snapshot } from '../../../coordinator/checkpoint/snapshot.js';
import type { Slots } from '../../../coordinator/optimizer/optimizer.js';
import type { ShardPartial } from '../../../shared/partial.js';
import type { CoordinatorLife } from './coordinator-life.js';
import { limits, patienceMs } from './limits.js';
import type { ExpectedState, Reference } from './reference.js';
import { exactText } from './reference-callbacks.js';
import { manifest } from './tiny-job.js';
import type { World } from './world.js';

/** One of the promises I1 to I5 of the design is broken. */
export class InvariantBroken extends RangeError {
  constructor(invariant: 'I1' | 'I2' | 'I3' | 'I4' | 'I5', what: string) {
    super(`${invariant}: ${what}`);
  }
}

/** What must hold after every event of a simulated run. */
export class Invariants {
  readonly #world: World;
  readonly #reference: Reference;
  /** Step after which each life that committed stands: a life commits each step once. */
  readonly #committed = new Map<CoordinatorLife, number>();
  readonly #slots = new Map<object, { readonly variables: number; readonly views: readonly Uint32Array[] }>();
  #progressMs = 0;
  #committedMs = 0;
  #lookedMs = 0;
  /** When it was last seen that nothing is to be computed. */
  #calmMs = 0;

  constructor(world: World, reference: Reference) {
    this.#world = world;
    this.#reference = reference;
  }

  /** Something went on: a step, a batch of the validation, a checkpoint, a worker that came. */
  progressed(): void {
    this.#progressMs = this.#world.clock.nowMs();
  }

  /** A step is committed, or a coordinator begins. */
  committed(): void {
    this.#committedMs = this.#world.clock.nowMs();
  }

  /** After every event. */
  check(): void {
    const { life, clock } = this.#world;
    if (life?.process.isAlive) {
      this.#weights(life);
      life.traffic.settled();
      if (clock.nowMs() - this.#lookedMs >= lookEveryMs) this.#look(life);
    }
    const idleMs = clock.nowMs() - this.#progressMs;
    if (idleMs > patienceMs) {
      throw new InvariantBroken(
        'I5',
        `nothing went on for ${idleMs} ms, and the last reason told is: ${this.#world.reason ?? 'none'}`,
      );
    }
    const stepMs = clock.nowMs() - this.#committedMs;
    if (stepMs > patienceForStepMs)
      throw new InvariantBroken('I5', `no step was committed for ${stepMs} ms, whoever came and went`);
    if (idleMs > reasonWithinMs && isWaiting(life) && this.#world.reason === null) {
      throw new InvariantBroken('I5', `nothing went on for ${idleMs} ms, and no reason was told`);
    }
  }

  /** Whether everything that must be done in time is. */
  #look({ process, stage, traffic, conductor }: CoordinatorLife): void {
    const nowMs = this.#world.clock.nowMs();
    this.#lookedMs = nowMs;
    const wasStopped = process.isStopped || nowMs - process.continuedMs < afterStopMs;
    // What was decided while it still ran is being carried out.
    if (wasStopped || stage === 'ended' || conductor?.isStopped !== false) return;
    traffic.check();
    if (stage !== 'round') this.#calmMs = nowMs;
    // While nothing is to be computed, nobody is wanted.
    const withoutMs = Math.min(traffic.members.withoutReadyMs, nowMs - this.#calmMs);
    if (withoutMs > limits.withoutWorkersMs + afterStopMs)
      throw new InvariantBroken('I5', `the run has been without workers for ${withoutMs} ms`);
  }

  #weights({ state, stage }: CoordinatorLife): void {
    // At the very end a callback may put the best weights back.
    if (stage === 'ended') return;
    const expected = this.#reference.afterStep[state.iteration];
    if (expected === undefined) throw new InvariantBroken('I3', `there is no step ${state.iteration}`);
    this.#same(state.weights.flat, expected.weights, 'weights', state.iteration);
    let at = 0;
    for (const slot of this.#slotsOf(state.optimizer.slots())) {
      at = this.#sameBits(slot, expected.slots, 'optimizer slots', state.iteration, at);
    }
    if (at !== expected.slots.length)
      throw new InvariantBroken('I1', `${at} slots after step ${state.iteration}`);
  }

  /** Views of an optimizer's slots in manifest order, made once: they are looked at after every event. */
  #slotsOf(slots: ReadonlyMap<string, Slots>): readonly Uint32Array[] {
    const known = this.#slots.get(slots);
    // The first step makes all of them.
    if (known !== undefined && known.variables === slots.size) return known.views;
    const views = manifest.weights.flatMap(({ name }) => Object.values(slots.get(name) ?? {}).map(bitsOf));
    this.#slots.set(slots, { variables: slots.size, views });
    return views;
  }

  /** Compares with what is expected from index `from` on; gives where it ends. */
  #same(values: Float32Array, expected: Uint32Array, what: string, step: number, from = 0): number {
    return this.#sameBits(bitsOf(values), expected, what, step, from);
  }

  #sameBits(bits: Uint32Array, expected: Uint32Array, what: string, step: number, from: number): number {
    for (let i = 0; i < bits.length; i++) {
      if (bits[i] !== expected[from + i])
        throw new InvariantBroken('I1', `other ${what} after step ${step}, at ${i}`);
    }
    return from + bits.length;
  }

  /** The trainer is about to apply the sum of its next step. */
  committing(life: CoordinatorLife, { sums, gradient }: ShardPartial): void {
    const step = life.state.iteration;
    if (step >= this.#reference.steps) throw new InvariantBroken('I3', `step ${step} is beyond the end`);
    if (this.#committed.get(life) === step)
      throw new InvariantBroken('I3', `step ${step} is committed twice`);
    this.#committed.set(life, step);
    if (sums[5] !== this.#reference.ledgers[step]) {
      throw new InvariantBroken(
        'I2',
        `step ${step} has the samples ${sums[5]}, expected ${this.#reference.ledgers[step]}`,
      );
    }
    // A sum that is not finite must not be committed, which is checked elsewhere.
    if (gradient.every(Number.isFinite))
      this.#same(gradient, this.#reference.gradients[step], 'sum of gradients before the update', step);
  }

  /** A step is committed, and its callbacks were called. */
  stepped(life: CoordinatorLife, step: number): void {
    if (step !== life.state.iteration)
      throw new InvariantBroken('I3', `step ${step} after ${life.state.iteration} updates`);
    // What the others count is the same until the end of the epoch.
    this.#callbacks(life, this.#reference.afterStep[step], ['journal']);
  }

  epochEnded(life: CoordinatorLife, epoch: number): void {
    this.#callbacks(life, this.#reference.afterEpoch[epoch + 1]);
  }

  #callbacks(life: CoordinatorLife, expected: ExpectedState, only: readonly string[] | null = null): void {
    for (const { name, saveState } of life.callbacks) {
      const state = only === null || only.includes(name) ? saveState?.() : undefined;
      if (state === undefined) continue;
      this.#sameText(exactText(state.values, state.tensors), expected.callbacks[name], name, expected.step);
    }
    if (life.state.fixedLearningRate !== expected.learningRate) {
      throw new InvariantBroken(
        'I1',
        `learning rate ${life.state.fixedLearningRate} after step ${expected.step}`,
      );
    }
  }

  #sameText(got: string, expected: string, callback: string, step: number): void {
    if (got === expected) return;
    throw new InvariantBroken('I1', `state of ${callback} after step ${step}: ${got}, expected ${expected}`);
  }

  /** What is about to be written, or was read, is one committed step, whole. */
  snapshot({ run, flat, slots, tensors }: Snapshot): void {
    const { step, batch, epoch } = run;
    const isWhole = batch === 0;
    const expected = isWhole ? this.#reference.afterEpoch[epoch] : this.#reference.afterStep[step];
    if (expected?.step !== step || expected.epoch !== epoch || expected.batch !== batch) {
      throw new InvariantBroken('I1', `a checkpoint of step ${step}, epoch ${epoch}, batch ${batch}`);
    }
    const isEnd = step === this.#reference.steps && isWhole;
    const isRestored = isEnd && !sameBits(flat, expected.weights);
    this.#same(
      flat,
      isRestored ? this.#reference.finalWeights : expected.weights,
      'weights in the checkpoint',
      step,
    );
    let at = 0;
    for (const { name } of manifest.weights) {
      for (const slot of Object.values(slots.get(name) ?? {})) {
        at = this.#same(slot, expected.slots, 'slots in the checkpoint', step, at);
      }
    }
    if (at !== expected.slots.length || run.optimizer.iteration !== step) {
      throw new InvariantBroken(
        'I1',
        `the checkpoint of step ${step} has ${at} slots and ${run.optimizer.iteration} updates`,
      );
    }
    if (run.optimizer.learningRate !== expected.learningRate) {
      throw new InvariantBroken(
        'I1',
        `learning rate ${run.optimizer.learningRate} in the checkpoint of step ${step}`,
      );
    }
    const sums = tensors['epoch/sums'];
    if (!expected.totals.every((value, i) => Object.is(sums[i], value))) {
      throw new InvariantBroken('I1', `the epoch's sums in the checkpoint of step ${step}: ${sums}`);
    }
    this.#savedCallbacks(run.callbacks, tensors, expected);
    const seen = this.#samplesUntil(step);
    if (run.samplesSeen !== seen)
      throw new InvariantBroken('I2', `${run.samplesSeen} samples seen after step ${step}`);
    const cursor = run.cursor as { rows?: number; given?: number } | null;
    if ((cursor?.rows ?? cursor?.given ?? 0) !== expected.consumed) {
      throw new InvariantBroken('I2', `cursor ${JSON.stringify(cursor)} after step ${step}`);
    }
  }

  #savedCallbacks(
    values: Snapshot['run']['callbacks'],
    tensors: Snapshot['tensors'],
    expected: ExpectedState,
  ): void {
    for (const [name, text] of Object.entries(expected.callbacks)) {
      const prefix = `callbacks/${name}/`;
      const own = Object.entries(tensors).flatMap(([key, tensor]) =>
        key.startsWith(prefix) ? [[key.slice(prefix.length), tensor as Float32Array] as const] : [],
      );
      this.#sameText(
        exactText(values[name], Object.fromEntries(own)),
        text,
        `${name} in the checkpoint`,
        expected.step,
      );
    }
  }

  #samplesUntil(step: number): number {
    const { afterEpoch, afterStep, job } = this.#reference;
    const epochs = afterEpoch.filter((state) => state.step <= step).length - 1;
    const isWhole = afterEpoch[epochs].step === step;
    return epochs * job.rows + (isWhole ? 0 : afterStep[step].consumed);
  }

  /** The run has ended: with the reference's weights, and no more computed than the faults explain. */
  ended(life: CoordinatorLife, outcome: { step: number; samplesSeen: number }): void {
    if (outcome.step !== this.#reference.steps) {
      throw new InvariantBroken('I3', `ended after ${outcome.step} steps of ${this.#reference.steps}`);
    }
    if (outcome.samplesSeen !== this.#samplesUntil(outcome.step)) {
      throw new InvariantBroken('I2', `${outcome.samplesSeen} samples were seen`);
    }
    this.#same(
      life.state.weights.flat,
      this.#reference.finalWeights,
      'weights at the end, counted',
      outcome.step,
    );
  }
}

/** Longer than all deadlines of one coordinator together. */
const patienceForStepMs = 300_000;
/** Virtual time between two looks at what must be done in time. */
const lookEveryMs = 200;
/** After a coordinator was stopped nothing is held against anybody for so long. */
const afterStopMs = 3_000;

/** Whether it waits for workers or for data. */
const isWaiting = (life: CoordinatorLife | null): boolean =>
  life?.stage === 'round' || life?.stage === 'idle';

/** Until then something has been said about what the run waits for. */
const reasonWithinMs = 15_000;

const bitsOf = (values: Float32Array): Uint32Array =>
  new Uint32Array(values.buffer, values.byteOffset, values.length);

function sameBits(values: Float32Array, expected: Uint32Array): boolean {
  const bits = bitsOf(values);
  return expected.every((value, i) => bits[i] === value);
}
