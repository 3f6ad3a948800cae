import { readFile } from 'node:fs/promises';
import { z } from 'zod';
import { didYouMean } from '../shared/did-you-mean.js';
import { LockstepError, messageOf } from '../shared/errors.js';
import { type RunPhase, runPhases } from '../shared/run-point.js';

/** Everything that can be done to a run. docs/chaos.md says what each does and when it counts as effective. */
export const faultActions = [
  'kill',
  'stop',
  'terminate',
  'leave',
  'join',
  'cut',
  'half-open',
  'corrupt',
  'duplicate',
  'delay',
  'throttle',
  'slow',
  'hang',
  'nan',
  'wrong',
  'kill-coordinator',
] as const;

export type FaultAction = (typeof faultActions)[number];

const atWorker: readonly RunPhase[] = [
  'idle',
  'dispatch',
  'receiving',
  'computing',
  'uploading',
  'reducing',
  'committing',
];

/** Where an action can strike; by default in the first of them. */
export const phasesOf: Readonly<Record<FaultAction, readonly RunPhase[]>> = {
  kill: [...atWorker, 'checkpointing'],
  stop: [...atWorker, 'checkpointing'],
  terminate: [...atWorker, 'checkpointing'],
  leave: [...atWorker, 'checkpointing'],
  join: ['idle', 'dispatch', 'reducing', 'committing', 'checkpointing'],
  cut: [...atWorker, 'checkpointing'],
  'half-open': [...atWorker, 'checkpointing'],
  corrupt: ['uploading', 'receiving'],
  duplicate: ['uploading', 'receiving'],
  delay: ['receiving', 'uploading'],
  throttle: ['receiving', 'uploading'],
  slow: ['computing'],
  hang: ['computing'],
  nan: ['computing'],
  wrong: ['computing'],
  'kill-coordinator': ['idle', 'dispatch', 'reducing', 'committing', 'checkpointing'],
};

/** Random faults of a run, unless the plan says otherwise. */
export const defaultMax = 100;

const step = z.int('a step, counted from 0').min(0, 'a step, counted from 0');
const milliseconds = z.number('milliseconds above 0').positive('milliseconds above 0').max(3_600_000);

const fault = z
  .strictObject({
    /** Strikes in this step, or in the first after it that comes to the phase. */
    step,
    /** Default: the first phase that the action can strike in. */
    phase: z.enum(runPhases, `one of ${runPhases.join(', ')}`).optional(),
    do: z.enum(faultActions, `one of ${faultActions.join(', ')}`),
    /** The worker's number, or one at random. Default `random`. */
    worker: z.union([z.literal('random'), z.int().min(0)], "a worker's number or 'random'").optional(),
    /** How long `stop`, `delay`, `throttle` and `slow` last; of `delay`, also how late bytes come. */
    ms: milliseconds.optional(),
    /** Of `throttle`. Default 20,000. */
    bytesPerSecond: z.number().positive('bytes per second above 0').optional(),
    /** Of `cut`: reset (RST) or end (FIN). Default reset. */
    how: z.enum(['reset', 'end'], "'reset' or 'end'").optional(),
    /** Of `corrupt`: bits flipped, at random places of one chunk. Default 1. */
    bits: z
      .int('a number of bits of at least 1')
      .min(1, 'a number of bits of at least 1')
      .max(1_024)
      .optional(),
  })
  .superRefine((value, context) => {
    const phases = phasesOf[value.do];
    if (value.phase !== undefined && !phases.includes(value.phase)) {
      const message = `${phases.join(' or ')} for the action ${value.do}`;
      context.addIssue({ code: 'custom', path: ['phase'], message });
    }
    for (const [field, actions] of Object.entries(fieldsOfActions)) {
      const isGiven = value[field as keyof typeof value] !== undefined;
      if (!isGiven || actions.includes(value.do)) continue;
      context.addIssue({
        code: 'custom',
        path: [field],
        message: `none for the action ${value.do}; it is for ${actions.join(', ')}`,
      });
    }
  });

/** Fields that only some actions have. */
const fieldsOfActions: Readonly<Record<string, readonly FaultAction[]>> = {
  ms: ['stop', 'delay', 'throttle', 'slow'],
  bytesPerSecond: ['throttle'],
  how: ['cut'],
  bits: ['corrupt'],
};

const rate = z.number('expected faults per step, 0 to 1').min(0).max(1, 'expected faults per step, 0 to 1');

const faultPlan = z.strictObject({
  /** Faults at given steps. */
  faults: z.array(fault, 'a list of faults').optional(),
  /** Faults drawn for every step. */
  random: z
    .strictObject({
      seed: z.int('a whole number').optional(),
      /** How many faults of each action are expected per step. */
      rates: z.partialRecord(z.enum(faultActions), rate),
      /** At most so many faults in the whole run. Default 100. */
      max: z.int('a number of faults').min(0, 'a number of faults').optional(),
    })
    .optional(),
  /** File that keeps what was done, so that a coordinator that is started again does nothing twice. */
  ledger: z.string('the path of a file').optional(),
});

/** A plan as people write it. */
export type FaultPlan = z.input<typeof faultPlan>;
export type PlannedFault = z.infer<typeof fault>;

/**
 * Checks a plan.
 * @param source what error messages call it
 * @throws LockstepError BAD_OPTION naming the field, what it should be and what it is
 */
export function checkFaultPlan(plan: unknown, source: string): FaultPlan {
  const checked = faultPlan.safeParse(plan);
  if (checked.success) return checked.data;
  const [issue] = checked.error.issues;
  const at = issue.path.length === 0 ? 'the plan' : pathOf(issue.path);
  if (issue.code === 'unrecognized_keys') {
    const [unknown] = issue.keys;
    const near = didYouMean(unknown, knownKeys);
    throw bad(
      `${source}: ${at} has the unknown field ${unknown}`,
      near === null ? `Fields are: ${knownKeys.join(', ')}.` : `Did you mean ${near}?`,
    );
  }
  const given = valueAt(plan, issue.path);
  const near = typeof given === 'string' ? didYouMean(given, [...faultActions, ...runPhases]) : null;
  const got = given === undefined ? 'nothing' : JSON.stringify(given);
  throw bad(
    `${source}: ${at} is ${got}, expected ${issue.message}`,
    near === null ? 'docs/chaos.md describes the format, with examples.' : `Did you mean ${near}?`,
  );
}

const knownKeys = [
  'faults',
  'random',
  'ledger',
  'seed',
  'rates',
  'max',
  'step',
  'phase',
  'do',
  'worker',
  'ms',
  'bytesPerSecond',
  'how',
  'bits',
];

/**
 * Reads the plan of `--faults`.
 * @throws LockstepError BAD_OPTION if the file cannot be read, is no JSON, or is no plan
 */
export async function readFaultPlan(file: string): Promise<FaultPlan> {
  const text = await readFile(file, 'utf8').catch((cause: unknown) => {
    throw bad(
      `the fault plan ${file} cannot be read: ${messageOf(cause)}`,
      'Give the path of a JSON file.',
      cause,
    );
  });
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch (cause) {
    throw bad(`the fault plan ${file} is no JSON: ${messageOf(cause)}`, 'docs/chaos.md has examples.', cause);
  }
  return checkFaultPlan(parsed, file);
}

/** `faults[2].phase` */
function pathOf(path: readonly PropertyKey[]): string {
  return path
    .map((key, i) => (typeof key === 'number' ? `[${key}]` : `${i === 0 ? '' : '.'}${String(key)}`))
    .join('');
}

function valueAt(value: unknown, path: readonly PropertyKey[]): unknown {
  return path.reduce<unknown>(
    (at, key) => (typeof at === 'object' && at !== null ? Reflect.get(at, key) : undefined),
    value,
  );
}

function bad(message: string, hint: string, cause?: unknown): LockstepError {
  return new LockstepError('BAD_OPTION', message, { hint, cause });
}
