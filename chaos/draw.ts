import { deriveSeed, Random } from '../shared/random.js';
import type { RunPhase } from '../shared/run-point.js';
import { type FaultAction, type FaultPlan, faultActions, type PlannedFault, phasesOf } from './plan.js';

/** A fault with everything decided but the worker, if that is to be one at random. */
export interface Fault {
  /** Unique in a plan, and the same after a restart. */
  readonly id: string;
  readonly do: FaultAction;
  readonly phase: RunPhase;
  readonly step: number;
  readonly worker: number | 'random';
  readonly ms: number;
  readonly bytesPerSecond: number;
  readonly how: 'reset' | 'end';
  readonly bits: number;
  /** Where in a message, as a fraction of the bytes of a step; and which of several workers. In [0, 1). */
  readonly fraction: number;
}

/** The faults of a step: those planned for it, then those drawn for it. The same whenever it is asked. */
export function faultsOfStep({ faults = [], random }: FaultPlan, step: number): Fault[] {
  const planned = faults.flatMap((fault, index) =>
    fault.step === step ? [resolved(`planned-${index}`, fault, index)] : [],
  );
  if (random === undefined) return planned;
  const { seed = 0, rates } = random;
  const drawn = faultActions.flatMap((action, index) => {
    const draw = new Random(deriveSeed(seed, 'faults', step, index));
    if (draw.next() >= (rates[action] ?? 0)) return [];
    const phases = phasesOf[action];
    const phase = phases[draw.below(phases.length)];
    const lasts = ['stop', 'delay', 'throttle', 'slow'].includes(action) ? { ms: 20 + draw.below(200) } : {};
    const fault = { step, phase, do: action, ...lasts };
    const pace = 20_000 * 2 ** draw.below(5);
    return [{ ...resolved(`random-${step}-${action}`, fault, draw.uint32()), bytesPerSecond: pace }];
  });
  return [...planned, ...drawn];
}

export const isDrawn = (id: string): boolean => id.startsWith('random-');

function resolved(id: string, fault: PlannedFault, seed: number): Fault {
  const phase = fault.phase ?? phasesOf[fault.do][0];
  const { ms = 100, bytesPerSecond = 20_000, how = 'reset', bits = 1, worker = 'random' } = fault;
  const fraction = new Random(deriveSeed(seed, 'faults', fault.step)).next();
  return { id, do: fault.do, phase, step: fault.step, worker, ms, bytesPerSecond, how, bits, fraction };
}
