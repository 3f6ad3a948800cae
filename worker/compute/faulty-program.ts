import type { ShardPartial } from '../../shared/partial.js';
import type { ShardProgram } from '../../shared/program.js';
import type { ShardFault, WorkerFaultReport } from '../../shared/worker-faults.js';

/** Small enough to look right, large enough never to be rounded away in the sum. */
const wrongFactor = 1 + 2 ** -10;

export interface FaultEffects {
  report(report: WorkerFaultReport): void;
  /** Stands still for so many milliseconds, or until it is let go. */
  hold(ms: number | null): void;
}

/** The faults that wait for a shard. */
export class ShardFaults {
  readonly #effects: FaultEffects;
  #armed: readonly ShardFault[] = [];

  constructor(effects: FaultEffects) {
    this.#effects = effects;
  }

  arm(fault: ShardFault): void {
    this.#armed = [...this.#armed, fault];
  }

  disarm(id: string): void {
    this.#armed = this.#armed.filter((fault) => fault.id !== id);
  }

  /** Before a shard is computed: holds it if that was asked for. */
  before(step: number, shard: number): void {
    this.#effects.report({ type: 'begun', step, shard });
    for (const { holdMs } of this.#strike(['hold'], step, shard)) this.#effects.hold(holdMs);
  }

  /** Alters what a shard came to, in place. */
  after(step: number, shard: number, { gradient }: ShardPartial): void {
    for (const { action } of this.#strike(['nan', 'wrong'], step, shard)) {
      if (action === 'nan') gradient[0] = Number.NaN;
      else gradient.set(gradient.map((value) => value * wrongFactor));
    }
  }

  #strike(actions: readonly ShardFault['action'][], step: number, shard: number): readonly ShardFault[] {
    const strikes = (fault: ShardFault): boolean => actions.includes(fault.action) && fault.step <= step;
    const striking = this.#armed.filter(strikes);
    this.#armed = this.#armed.filter((fault) => !strikes(fault));
    for (const { id } of striking) this.#effects.report({ type: 'struck', id, step, shard });
    return striking;
  }
}

/** A program whose training shards meet faults. */
export function faultyProgram(program: ShardProgram, faults: ShardFaults): ShardProgram {
  return {
    setWeights: (flat) => program.setWeights(flat),
    async train(task) {
      faults.before(task.step, task.shard);
      const partial = await program.train(task);
      faults.after(task.step, task.shard, partial);
      return partial;
    },
    recycle: (gradient) => program.recycle?.(gradient),
    evaluate: (task) => program.evaluate(task),
    predict: (x) => program.predict(x),
    dispose: () => program.dispose(),
  };
}
