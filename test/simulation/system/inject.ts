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
  /** Whether a worker has given a result that is not what its shard gives. */
  hasSpoiled = false;
  /** Whether there was nobody to confirm a result that is not finite. */
  #isUnchecked = false;
  readonly world: World;
  readonly #waiting: { fault: Fault; skip: number }[];
  /** Shards that end whoever computes them, as `step:shard`. */
  readonly deadly = new Map<string, Fault>();
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

  /** After every event: what is due now? */
  look(): void {
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
    if (code === 'WORKER_FAILED') {
      this.deadly.clear();
      const { life, limits } = this.world;
      return life !== null && life.traffic.mostLosses >= limits.lossesPerShard;
    }
    if (code === 'CHECKPOINT_UNWRITABLE') {
      this.world.disk.weather.isFull = false;
      return message.includes('ENOSPC') && this.excuses.has('disk');
    }
    if (code === 'NOT_FINITE') return this.hasSpoiled && this.#isUnchecked;
    if (code === 'NOT_DETERMINISTIC') return this.hasSpoiled;
    return code === 'NO_WORKERS' && this.excuses.has('gone');
  }

  /** The coordinator has said that something is not as it should be. */
  warned(message: string): void {
    if (message.includes('gave NaN or Inf') && message.includes('no other worker can check it'))
      this.#isUnchecked = true;
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

  shardBegins(worker: SimulatedWorker, kind: string, step: number, shard: number): void {
    const { slowness, hangs, fault: cause } = worker.sickness;
    if ((slowness > 1 || hangs) && cause !== null) this.took(cause);
    const fault = kind === 'train' ? this.deadly.get(`${step}:${shard}`) : undefined;
    if (fault === undefined) return;
    this.took(fault);
    this.world.clock.after(0, () => this.kill(worker, 300));
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
