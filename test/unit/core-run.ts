import type { RoundSpec } from '../../coordinator/core/round.js';
import {
  initialState,
  type RunEffect,
  type RunInput,
  type RunLimits,
  type RunState,
  transition,
} from '../../coordinator/core/run.js';
import type { Order } from '../../coordinator/core/split.js';

export const limits: RunLimits = {
  silenceMs: 10_000,
  prepareMs: 60_000,
  answerMs: 500_000,
  withoutWorkersMs: 30_000,
  lossesPerShard: 3,
  heldUpMs: 1_000,
  deadlineFloorMs: 1_000,
  warmUpMs: 10_000,
  unknownShardMs: 60_000,
};

/** A run under a clock that the test moves; ticks come as often as they do in truth. */
export class Run {
  state: RunState = initialState(0);
  nowMs = 0;
  readonly effects: RunEffect[] = [];

  /** Gives what this input causes. */
  step(input: RunInput): readonly RunEffect[] {
    const [state, effects] = transition(this.state, input, this.nowMs, limits);
    this.state = state;
    this.effects.push(...effects);
    return effects;
  }

  /** Lets time pass, a tick each second. Gives what the ticks cause. */
  wait(ms: number, talking: readonly number[] = []): RunEffect[] {
    const effects: RunEffect[] = [];
    for (const endMs = this.nowMs + ms; this.nowMs < endMs; ) {
      this.nowMs += 1_000;
      for (const worker of talking) this.step({ type: 'heard', worker });
      effects.push(...this.step({ type: 'tick' }));
    }
    return effects;
  }

  ready(...workers: number[]): void {
    for (const worker of workers) {
      this.step({ type: 'joined', worker });
      this.step({ type: 'preparing', worker });
      this.answerSetup(worker);
    }
  }

  answerSetup(worker: number, canaryMs: number | null = null): readonly RunEffect[] {
    return this.step({ type: 'ready', worker, canaryMs });
  }

  begin(spec: Partial<RoundSpec> = {}): readonly RunEffect[] {
    const { id = 1 } = spec;
    const step = id - 1;
    const round = { id, kind: 'train' as const, step, shards: 4, present: 4, rowsPerShard: 8, audited: [] };
    return this.step({ type: 'begin', round: { ...round, ...spec } });
  }

  /** Gives what follows from the answer, beside the credit for it. `bits` stands for what was computed. */
  partial(worker: number, lo: number, hi: number, roundId = 1, bits = 'right'): readonly RunEffect[] {
    const digest = bits;
    const finite = bits !== 'NaN';
    const effects = this.step({ type: 'partial', worker, roundId, range: { lo, hi }, digest, finite });
    return effects.filter(({ type }) => type !== 'credit');
  }

  /** What is done so far of this type. */
  of<Type extends RunEffect['type']>(type: Type): Extract<RunEffect, { type: Type }>[] {
    return this.effects.filter(
      (effect): effect is Extract<RunEffect, { type: Type }> => effect.type === type,
    );
  }
}

export const compute = (
  worker: number,
  lo: number,
  hi: number,
  roundId = 1,
  why: Order['why'] = 'first',
): RunEffect => ({ type: 'compute', worker, roundId, range: { lo, hi }, why });

export const accept = (worker: number, lo: number, hi: number): RunEffect => ({
  type: 'accept',
  worker,
  range: { lo, hi },
});
