import * as z from 'zod';
import { LockstepError } from '../../shared/errors.js';
import type { Schedule, SchedulePoint } from './optimizer.js';
import { cosPi, power } from './portable-math.js';

const finite = z.number();
const rate = z.number().min(0);
const steps = z.number().positive();
const share = z.number().min(0).max(1);

function check<Schema extends z.ZodType>(name: string, schema: Schema, options: unknown): z.output<Schema> {
  const result = schema.safeParse(options);
  if (result.success) return result.data;
  const [issue] = result.error.issues;
  const where = issue.path.length > 0 ? `option ${issue.path.join('.')}: ` : '';
  throw new LockstepError('BAD_OPTION', `schedule ${name}: ${where}${issue.message}`, {
    hint: 'See the options in the documentation of the schedule of the same name in Keras.',
  });
}

/**
 * The learning rate of one step.
 * @throws LockstepError BAD_OPTION if a schedule gives anything but a finite number ≥ 0
 */
export function learningRateAt(learningRate: number | Schedule, point: SchedulePoint): number {
  if (typeof learningRate === 'number') return learningRate;
  const value = learningRate.at(point);
  if (value >= 0 && value < Infinity) return value;
  throw new LockstepError(
    'BAD_OPTION',
    `schedule ${learningRate.name} gave the rate ${value} at step ${point.step}, epoch ${point.epoch}`,
    { hint: 'A schedule must give a finite number ≥ 0 at every step.' },
  );
}

/** Any function of the step and the epoch, both counted from 0. It must give the same value for the same point. */
export function schedule(at: (point: SchedulePoint) => number, name = 'custom'): Schedule {
  return { name, at };
}

/** The same rate at every step. */
export function constant(learningRate: number): Schedule {
  const value = check('constant', rate, learningRate);
  return { name: 'constant', at: () => value };
}

const piecewiseSchema = z
  .strictObject({ boundaries: z.array(finite), values: z.array(rate) })
  .refine(({ boundaries, values }) => values.length === boundaries.length + 1, {
    error: 'expected one value more than boundaries',
  })
  .refine(({ boundaries }) => boundaries.every((step, i) => i === 0 || step > boundaries[i - 1]), {
    error: 'expected boundaries in increasing order',
  });

/** `values[i]` up to and including step `boundaries[i]`, the last value after the last boundary. */
export function piecewiseConstantDecay(options: z.input<typeof piecewiseSchema>): Schedule {
  const { boundaries, values } = check('piecewiseConstantDecay', piecewiseSchema, options);
  return {
    name: 'piecewiseConstantDecay',
    at({ step }) {
      const piece = boundaries.findIndex((boundary) => step <= boundary);
      return values[piece < 0 ? boundaries.length : piece];
    },
  };
}

const decaySchema = z.strictObject({
  initialLearningRate: rate,
  decaySteps: steps,
  decayRate: z.number().min(0),
  staircase: z.boolean().default(false),
});

/** `initialLearningRate · decayRate ^ (step / decaySteps)`; `staircase` (default false) floors the exponent. */
export function exponentialDecay(options: z.input<typeof decaySchema>): Schedule {
  const { initialLearningRate, decaySteps, decayRate, staircase } = check(
    'exponentialDecay',
    decaySchema,
    options,
  );
  return {
    name: 'exponentialDecay',
    at({ step }) {
      const decays = step / decaySteps;
      return initialLearningRate * power(decayRate, staircase ? Math.floor(decays) : decays);
    },
  };
}

/** `initialLearningRate / (1 + decayRate · step / decaySteps)`; `staircase` (default false) floors the fraction. */
export function inverseTimeDecay(options: z.input<typeof decaySchema>): Schedule {
  const { initialLearningRate, decaySteps, decayRate, staircase } = check(
    'inverseTimeDecay',
    decaySchema,
    options,
  );
  return {
    name: 'inverseTimeDecay',
    at({ step }) {
      const decays = step / decaySteps;
      return initialLearningRate / (1 + decayRate * (staircase ? Math.floor(decays) : decays));
    },
  };
}

const polynomialSchema = z.strictObject({
  initialLearningRate: rate,
  decaySteps: steps,
  endLearningRate: rate.default(0.0001),
  power: z.number().min(0).default(1),
  cycle: z.boolean().default(false),
});

/**
 * From `initialLearningRate` to `endLearningRate` (default 0.0001) in `decaySteps`, along
 * `(1 - step / decaySteps) ^ power` (default 1: a line). With `cycle`, the end moves to the next multiple of
 * `decaySteps` each time it is passed.
 */
export function polynomialDecay(options: z.input<typeof polynomialSchema>): Schedule {
  const given = check('polynomialDecay', polynomialSchema, options);
  const { initialLearningRate, decaySteps, endLearningRate, cycle } = given;
  return {
    name: 'polynomialDecay',
    at({ step }) {
      const end = cycle ? decaySteps * Math.max(1, Math.ceil(step / decaySteps)) : decaySteps;
      const left = 1 - Math.min(step, end) / end;
      return (initialLearningRate - endLearningRate) * power(left, given.power) + endLearningRate;
    },
  };
}

const cosineSchema = z
  .strictObject({
    initialLearningRate: rate,
    decaySteps: steps,
    alpha: share.default(0),
    warmupTarget: rate.optional(),
    warmupSteps: z.number().min(0).default(0),
  })
  .refine(({ warmupTarget, warmupSteps }) => warmupTarget !== undefined || warmupSteps === 0, {
    error: 'warmupSteps needs a warmupTarget',
  });

/**
 * Half a cosine from the first rate to `alpha` (default 0) of it in `decaySteps` (Loshchilov & Hutter 2017).
 * With `warmupTarget` the rate first rises on a line from `initialLearningRate` to it in `warmupSteps`
 * (Goyal et al. 2017) and decays from there.
 */
export function cosineDecay(options: z.input<typeof cosineSchema>): Schedule {
  const { initialLearningRate, decaySteps, alpha, warmupTarget, warmupSteps } = check(
    'cosineDecay',
    cosineSchema,
    options,
  );
  const peak = warmupTarget ?? initialLearningRate;
  return {
    name: 'cosineDecay',
    at({ step }) {
      if (step < warmupSteps) {
        return (peak - initialLearningRate) * (step / warmupSteps) + initialLearningRate;
      }
      const completed = Math.min(step - warmupSteps, decaySteps) / decaySteps;
      return peak * ((1 - alpha) * 0.5 * (1 + cosPi(completed)) + alpha);
    },
  };
}

const restartsSchema = z.strictObject({
  initialLearningRate: rate,
  firstDecaySteps: steps,
  tMul: z.number().min(1).default(2),
  mMul: z.number().min(0).default(1),
  alpha: share.default(0),
});

/**
 * Cosine decays one after the other (SGDR, Loshchilov & Hutter 2017): each is `tMul` (default 2) times as long
 * as the one before and starts from `mMul` (default 1) times its rate.
 */
export function cosineDecayRestarts(options: z.input<typeof restartsSchema>): Schedule {
  const { initialLearningRate, firstDecaySteps, tMul, mMul, alpha } = check(
    'cosineDecayRestarts',
    restartsSchema,
    options,
  );
  return {
    name: 'cosineDecayRestarts',
    at({ step }) {
      let restarts = 0;
      let start = 0;
      let length = firstDecaySteps;
      if (tMul === 1) {
        restarts = Math.floor(step / length);
        start = restarts * length;
      } else {
        while (step >= start + length) {
          start += length;
          length *= tMul;
          restarts++;
        }
      }
      const cosine = 0.5 * power(mMul, restarts) * (1 + cosPi((step - start) / length));
      return initialLearningRate * ((1 - alpha) * cosine + alpha);
    },
  };
}

const oneCycleSchema = z.strictObject({
  maxLearningRate: rate,
  totalSteps: z.int().positive(),
  pctStart: share.default(0.3),
  divFactor: z.number().positive().default(25),
  finalDivFactor: z.number().positive().default(1e4),
  annealStrategy: z.enum(['cos', 'linear']).default('cos'),
  threePhase: z.boolean().default(false),
});

/**
 * The 1cycle policy (Smith & Topin 2018) with the phases and defaults of PyTorch's OneCycleLR: from
 * `maxLearningRate / divFactor` (25) up to `maxLearningRate` in the first `pctStart` (0.3) of `totalSteps`, then
 * down to the first rate `/ finalDivFactor` (1e4). `annealStrategy` is 'cos' or 'linear'. With `threePhase` the
 * way down to the first rate mirrors the way up, and the rest goes below it. After `totalSteps` the last rate stays.
 */
export function oneCycle(options: z.input<typeof oneCycleSchema>): Schedule {
  const given = check('oneCycle', oneCycleSchema, options);
  const { maxLearningRate: peak, totalSteps, pctStart, annealStrategy } = given;
  const first = peak / given.divFactor;
  const last = first / given.finalDivFactor;
  const top = pctStart * totalSteps - 1;
  const phases = given.threePhase
    ? [
        { end: top, from: first, to: peak },
        { end: 2 * top, from: peak, to: first },
        { end: totalSteps - 1, from: first, to: last },
      ]
    : [
        { end: top, from: first, to: peak },
        { end: totalSteps - 1, from: peak, to: last },
      ];
  return {
    name: 'oneCycle',
    at({ step }) {
      let start = 0;
      for (const { end, from, to } of phases) {
        if (step <= end) {
          const completed = end > start ? (step - start) / (end - start) : 1;
          if (annealStrategy === 'linear') return from + (to - from) * completed;
          return to + ((from - to) / 2) * (1 + cosPi(completed));
        }
        start = end;
      }
      return last;
    },
  };
}
