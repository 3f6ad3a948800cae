import { z } from 'zod';
import { type RunPhase, runPhases } from '../shared/run-point.js';
import type { InjectedFault } from './ledger.js';
import { type FaultAction, type FaultPlan, faultActions } from './plan.js';

/**
 * What random runs do unless they are told otherwise: what a run survives by itself within seconds. Left out are
 * `terminate`, which local workers leave to their coordinator; `half-open` and `hang`, which cost a worker for half a
 * minute or for good; `wrong`, which nobody finds without audits (docs/chaos.md).
 */
export const usualActions: readonly FaultAction[] = [
  'kill',
  'stop',
  'leave',
  'join',
  'cut',
  'corrupt',
  'duplicate',
  'delay',
  'throttle',
  'slow',
  'nan',
  'kill-coordinator',
];

/** What must be the same in two runs of a job, whatever happened to them. */
export const runBits = z.looseObject({
  weightsSha256: z.string(),
  stateSha256: z.string(),
  steps: z.int(),
  epochs: z.int(),
  samplesSeen: z.int(),
  history: z.record(z.string(), z.array(z.number().nullable())),
  receipts: z.looseObject({ chain: z.string() }).nullish(),
  fingerprint: z.looseObject({ backend: z.string() }).nullable(),
  shards: z.int(),
});

export type RunBits = z.infer<typeof runBits>;

/** Names of what differs between two runs; none if they have the same bits. */
export function differences(a: RunBits, b: RunBits): string[] {
  const bits = ({ weightsSha256, stateSha256, steps, epochs, samplesSeen, history, receipts }: RunBits) => ({
    weightsSha256,
    stateSha256,
    steps,
    epochs,
    samplesSeen,
    // A resumed run lists the same names in another order.
    history: Object.entries(history).sort(([x], [y]) => (x < y ? -1 : 1)),
    receipts: receipts?.chain ?? null,
  });
  const [one, other] = [bits(a), bits(b)];
  const names = Object.keys(one) as (keyof typeof one)[];
  return names.filter((name) => JSON.stringify(one[name]) !== JSON.stringify(other[name]));
}

/** The plan of one run: about `faultsPerRun` faults over its steps, drawn from the seed. */
export function planOfRun(options: {
  seed: number;
  steps: number;
  actions: readonly FaultAction[];
  faultsPerRun: number;
}): FaultPlan & { readonly random: object } {
  const { seed, steps, actions, faultsPerRun } = options;
  const rate = Math.min(1, faultsPerRun / (steps * actions.length));
  const rates = Object.fromEntries(actions.map((action) => [action, rate]));
  return { random: { seed, rates, max: 4 * faultsPerRun } };
}

/** Faults that took effect, of all that were carried out, by action and phase. */
export type Tally = ReadonlyMap<string, { readonly effective: number; readonly all: number }>;

const cell = (action: FaultAction, phase: RunPhase): string => `${action} ${phase}`;

export function tallyOf(faults: readonly InjectedFault[]): Tally {
  const tally = new Map<string, { effective: number; all: number }>();
  for (const { do: action, phase, tookEffect } of faults) {
    const key = cell(action, phase);
    const { effective, all } = tally.get(key) ?? { effective: 0, all: 0 };
    tally.set(key, { effective: effective + (tookEffect ? 1 : 0), all: all + 1 });
  }
  return tally;
}

/**
 * Rows of a table, actions by phases: how many faults took effect; `3/4` where one of four did not; `-` where none was
 * tried.
 */
export function tallyRows(tally: Tally): string[][] {
  const tried = (action: FaultAction, phase: RunPhase) => tally.get(cell(action, phase));
  const actions = faultActions.filter((action) => runPhases.some((phase) => tried(action, phase)));
  const rows = actions.map((action) => [
    action,
    ...runPhases.map((phase) => {
      const found = tried(action, phase);
      if (found === undefined) return '-';
      const { effective, all } = found;
      return effective === all ? String(all) : `${effective}/${all}`;
    }),
  ]);
  return [['took effect', ...runPhases], ...rows];
}
