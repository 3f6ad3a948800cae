import type { LockstepError } from '../../../shared/errors.js';
import type { Fault, FaultKind, Phase } from './faults.js';
import type { Line } from './line.js';
import type { SimulatedWorker } from './simulated-worker.js';
import { strike } from './strike.js';
import { EffectTable } from './table.js';
import type { World } from './world.js';

/** Lets the scenario's faults strike, and notes where each took effect. */
export class FaultInjector {
  readonly effects = new EffectTable();
  /** Workers that have given a result that is not what its shard gives. */
  readonly spoilers = new Set<SimulatedWorker>();
  /** Whether there was nobody to confirm a result that is not finite. */
  #isUnchecked = false;
  readonly world: World;
  readonly #waiting: { fault: Fault; skip: number }[];
  /** Shards that end whoever computes them, as `step:shard`. */
  readonly deadly = new Map<string, Fault>();
  /** Shards that fail whoever computes them, as `step:shard`. */
  readonly failing = new Map<string, Fault>();
  /** Whether a coordinator was stopped: then it is not expected to end within seconds. */
  isHeldUp = false;
  /** The next batch comes late. */
  isDataLate: Fault | null = null;
  /** A batch that is late now. */
  #late: Fault | null = null;
  /** How often a shard could not be computed, and when that began last. */
  #failures = 0;
  #failedMs = 0;
  /** Whether faults were there that can end a run, by the code that it ends with. */
  readonly excuses = new Set<string>();
  readonly strangers = new Map<Line, Fault>();
  damaged: { readonly fault: Fault; readonly at: readonly Phase[] } | null = null;
  /** Where each fault has taken effect: it counts once in each phase. */
  readonly #noted = new Set<string>();

  constructor(world: World) {
    this.world = world;
    this.#waiting = world.scenario.faults.map((fault) => ({ fault, skip: fault.skip }));
    world.disk.weather.onTouched = (effect) => {
      const kind: FaultKind = effect === 'full' ? 'disk full' : 'disk slow';
      const fault = world.scenario.faults.find((own) => own.kind === kind);
      if (fault !== undefined) this.took(fault);
    };
  }

  get hasSpoiled(): boolean {
    return this.spoilers.size > 0;
  }

  /** After every event: what is due now? */
  look(): void {
    if (this.#late !== null) this.took(this.#late);
    if (this.#waiting.length === 0) return;
    const { phase, steps, isWriting } = this.world;
    for (const waiting of [...this.#waiting]) {
      const { fault } = waiting;
      const isDue = fault.phase === phase || (fault.phase === 'checkpointing' && isWriting);
      if (!isDue || steps < fault.fromStep || waiting.skip-- > 0) continue;
      if (strike(this, fault)) this.#waiting.splice(this.#waiting.indexOf(waiting), 1);
      return;
    }
  }

  /** Whether the faults so far can have ended the run with this error; what did is over then. */
  explain({ code, message }: LockstepError): boolean {
    const { life, limits } = this.world;
    if (code === 'WORKER_FAILED') {
      this.deadly.clear();
      this.failing.clear();
      if (message.startsWith('shard ')) return (life?.traffic.mostLosses ?? 0) >= limits.lossesPerShard;
      // One worker that fails ends no run, unless nobody else was ready for as long as the run waits.
      if (message.startsWith('workers ')) return this.#failures > 1;
      return this.#failures > 0 && this.world.clock.nowMs() - this.#failedMs >= limits.withoutWorkersMs;
    }
    if (code === 'CHECKPOINT_UNWRITABLE') {
      this.world.disk.weather.isFull = false;
      return message.includes('ENOSPC') && this.excuses.has('disk');
    }
    if (code === 'NOT_FINITE') return this.hasSpoiled && this.#isUnchecked;
    // A third decides, unless it is wrong as well.
    if (code === 'NOT_DETERMINISTIC')
      return this.hasSpoiled && (this.spoilers.size > 1 || /^workers \d+ and \d+ disagree/.test(message));
    if (code !== 'NO_WORKERS' || !this.excuses.has('gone')) return false;
    // Not a moment too early.
    return (life?.traffic.members.longestNoneReadyMs ?? 0) >= limits.withoutWorkersMs;
  }

  /** The coordinator has said that something is not as it should be. */
  warned(message: string): void {
    if (message.includes('gave NaN or Inf') && message.includes('no other worker can check it')) {
      this.#isUnchecked = true;
      this.world.life?.traffic.answers.unconfirmed();
    }
    if (message.includes('gave different bits')) this.world.life?.traffic.answers.noticed();
    if (message.includes('was to be computed twice')) this.world.life?.traffic.answers.unconfirmed();
  }

  /** How much later than usual the next batch comes. */
  dataLateMs(): number {
    const fault = this.isDataLate;
    if (fault === null) return 0;
    this.isDataLate = null;
    // Most often for a moment, seldom for so long that it must be told.
    const lateMs = fault.choice % 8 === 0 ? 17_000 : 200 + (fault.choice % 2_000);
    this.#late = fault;
    this.world.clock.after(lateMs, () => {
      this.#late = null;
    });
    return lateMs;
  }

  admitted(line: Line): void {
    if (this.strangers.has(line)) this.world.fail(new RangeError('I4: a stranger was let in'));
  }

  turnedAway(line: Line): void {
    const fault = this.strangers.get(line);
    if (fault !== undefined) this.took(fault);
  }

  passedOver(): void {
    if (this.damaged !== null) this.took(this.damaged.fault, this.damaged.at);
    this.damaged = null;
  }

  /** Gives whether the worker fails at it. */
  shardBegins(worker: SimulatedWorker, kind: string, step: number, shard: number): boolean {
    const { slowness, hangs, fault: cause, fails } = worker.sickness;
    const key = `${step}:${shard}`;
    const failing = fails ?? (kind === 'train' ? this.failing.get(key) : undefined);
    if (failing !== undefined) {
      worker.sickness.fails = null;
      this.#failures += 1;
      this.#failedMs = this.world.clock.nowMs();
      this.took(failing);
      return true;
    }
    if ((slowness > 1 || hangs) && cause !== null) this.took(cause);
    const fault = kind === 'train' ? this.deadly.get(key) : undefined;
    if (fault === undefined) return false;
    this.took(fault);
    this.world.clock.after(0, () => this.kill(worker, 300));
    return false;
  }

  took(fault: Fault, at: readonly Phase[] = this.phases()): void {
    for (const phase of at) {
      const cell = `${phase} ${this.world.scenario.faults.indexOf(fault)}`;
      if (this.#noted.has(cell)) continue;
      this.#noted.add(cell);
      this.effects.add(fault.kind, phase);
      this.world.trace('fault', () => `${fault.kind} takes effect while ${phase}`);
    }
  }

  phases(): Phase[] {
    const { phase, isWriting } = this.world;
    return isWriting ? [phase, 'checkpointing'] : [phase];
  }

  kill(worker: SimulatedWorker, replacedAfterMs: number | null): void {
    worker.process.kill();
    if (replacedAfterMs !== null) this.world.clock.after(replacedAfterMs, () => this.world.join());
  }
}
