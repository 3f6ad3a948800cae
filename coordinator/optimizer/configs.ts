import * as z from 'zod';
import { LockstepError } from '../../shared/errors.js';
import type { Clipping, OptimizerConfig, OptimizerName, Schedule } from './optimizer.js';

const numberThat = (expected: string, holds: (value: number) => boolean) =>
  z.custom<number>((value) => typeof value === 'number' && holds(value), {
    error: ({ input }) => `expected ${expected}, got ${String(input)}`,
  });

const atLeastZero = numberThat('a finite number ≥ 0', (x) => x >= 0 && x < Infinity);
const positive = numberThat('a finite number > 0', (x) => x > 0 && x < Infinity);
const fraction = numberThat('a number in [0, 1]', (x) => x >= 0 && x <= 1);
const belowOne = numberThat('a number in [0, 1)', (x) => x >= 0 && x < 1);
const flag = z.boolean({ error: ({ input }) => `expected true or false, got ${String(input)}` });

const isSchedule = (value: unknown): value is Schedule =>
  typeof value === 'object' && value !== null && 'at' in value && typeof value.at === 'function';

const rate = z.custom<number | Schedule>(
  (value) => isSchedule(value) || (typeof value === 'number' && value >= 0 && value < Infinity),
  { error: ({ input }) => `expected a finite number ≥ 0 or a schedule, got ${String(input)}` },
);

const moments = {
  beta1: belowOne.default(0.9),
  beta2: belowOne.default(0.999),
  epsilon: positive.default(1e-7),
};

/** The parameters of each update rule, with Keras 3's defaults. */
const paramSchemas = {
  sgd: z.strictObject({ momentum: fraction.default(0), nesterov: flag.default(false) }),
  adagrad: z.strictObject({
    initialAccumulatorValue: atLeastZero.default(0.1),
    epsilon: positive.default(1e-7),
  }),
  adadelta: z.strictObject({ rho: fraction.default(0.95), epsilon: positive.default(1e-7) }),
  rmsprop: z.strictObject({
    rho: fraction.default(0.9),
    momentum: fraction.default(0),
    epsilon: positive.default(1e-7),
    centered: flag.default(false),
  }),
  adam: z.strictObject({ ...moments, amsgrad: flag.default(false) }),
  adamw: z.strictObject({ ...moments, amsgrad: flag.default(false) }),
  adamax: z.strictObject(moments),
  nadam: z.strictObject(moments),
};

const sharedSchema = z.object({
  learningRate: rate.optional(),
  weightDecay: atLeastZero.optional(),
  clipValue: positive.optional(),
  clipNorm: positive.optional(),
  globalClipNorm: positive.optional(),
});

type ParamsInput<Name extends OptimizerName> = z.input<(typeof paramSchemas)[Name]>;
type Params<Name extends OptimizerName> = z.output<(typeof paramSchemas)[Name]>;

/** What every optimizer takes besides its own parameters. At most one kind of clipping. */
export interface SharedOptimizerOptions extends Clipping {
  /** A number, or a schedule asked before each step. */
  readonly learningRate?: number | Schedule;
  /** Decoupled, as in Keras: before each update a weight loses `weightDecay · learningRate` of itself. */
  readonly weightDecay?: number;
}

export type SgdOptions = SharedOptimizerOptions & ParamsInput<'sgd'>;
export type AdagradOptions = SharedOptimizerOptions & ParamsInput<'adagrad'>;
export type AdadeltaOptions = SharedOptimizerOptions & ParamsInput<'adadelta'>;
export type RmspropOptions = SharedOptimizerOptions & ParamsInput<'rmsprop'>;
export type AdamOptions = SharedOptimizerOptions & ParamsInput<'adam'>;
export type AdamaxOptions = SharedOptimizerOptions & ParamsInput<'adamax'>;
export type NadamOptions = SharedOptimizerOptions & ParamsInput<'nadam'>;

const refuse = (name: string, problem: string, hint: string): LockstepError =>
  new LockstepError('BAD_OPTION', `optimizer ${name}: ${problem}`, { hint });

function read<Schema extends z.ZodType>(name: string, schema: Schema, value: unknown): z.output<Schema> {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  const [issue] = result.error.issues;
  if (issue.code === 'unrecognized_keys') {
    const known = schema instanceof z.ZodObject ? Object.keys(schema.shape) : [];
    throw refuse(
      name,
      `unknown option ${issue.keys.join(', ')}`,
      `It takes ${[...known, ...Object.keys(sharedSchema.shape)].join(', ')}.`,
    );
  }
  throw refuse(
    name,
    `option ${issue.path.join('.')}: ${issue.message}`,
    'The options have the names and ranges of the Keras optimizer, in camelCase.',
  );
}

/**
 * A configuration's parameters, checked and typed, defaults filled in.
 * @throws LockstepError BAD_OPTION
 */
export function paramsOf<Name extends OptimizerName>(name: Name, params: unknown): Params<Name>;
export function paramsOf(name: OptimizerName, params: unknown): Params<OptimizerName> {
  return read(name, paramSchemas[name], params);
}

function configure(
  name: OptimizerName,
  options: SharedOptimizerOptions,
  defaults: { readonly learningRate: number; readonly weightDecay?: number },
): OptimizerConfig {
  const { learningRate, weightDecay, clipValue, clipNorm, globalClipNorm, ...own } = options;
  const given = { learningRate, weightDecay, clipValue, clipNorm, globalClipNorm };
  const shared = read(name, sharedSchema, given);
  const clipping = Object.entries({ clipValue, clipNorm, globalClipNorm }).filter(
    ([, limit]) => limit !== undefined,
  );
  if (clipping.length > 1) {
    const names = clipping.map(([option]) => option).join(' and ');
    throw refuse(name, `${names} exclude each other`, 'Keep one kind of clipping.');
  }
  return {
    name,
    learningRate: shared.learningRate ?? defaults.learningRate,
    params: paramsOf(name, own),
    weightDecay: shared.weightDecay ?? defaults.weightDecay ?? 0,
    ...Object.fromEntries(clipping),
  };
}

/**
 * Gradient descent; with `momentum`, and with `nesterov` Nesterov's.
 * Defaults: learningRate 0.01, momentum 0, nesterov false.
 * @throws LockstepError BAD_OPTION, as all of these do, for an unknown option or a value out of range
 */
export function sgd(options: SgdOptions = {}): OptimizerConfig {
  return configure('sgd', options, { learningRate: 0.01 });
}

/** Duchi et al. 2011. Defaults: learningRate 0.001, initialAccumulatorValue 0.1, epsilon 1e-7. */
export function adagrad(options: AdagradOptions = {}): OptimizerConfig {
  return configure('adagrad', options, { learningRate: 0.001 });
}

/** Zeiler 2012. Defaults: learningRate 0.001 (the paper's is 1), rho 0.95, epsilon 1e-7. */
export function adadelta(options: AdadeltaOptions = {}): OptimizerConfig {
  return configure('adadelta', options, { learningRate: 0.001 });
}

/** Hinton 2012. Defaults: learningRate 0.001, rho 0.9, momentum 0, epsilon 1e-7, centered false. */
export function rmsprop(options: RmspropOptions = {}): OptimizerConfig {
  return configure('rmsprop', options, { learningRate: 0.001 });
}

/** Kingma & Ba 2014. Defaults: learningRate 0.001, beta1 0.9, beta2 0.999, epsilon 1e-7, amsgrad false. */
export function adam(options: AdamOptions = {}): OptimizerConfig {
  return configure('adam', options, { learningRate: 0.001 });
}

/** Loshchilov & Hutter 2019: Adam with decoupled weight decay. Defaults: as `adam`, weightDecay 0.004. */
export function adamw(options: AdamOptions = {}): OptimizerConfig {
  return configure('adamw', options, { learningRate: 0.001, weightDecay: 0.004 });
}

/** Kingma & Ba 2014, section 7. Defaults: learningRate 0.001, beta1 0.9, beta2 0.999, epsilon 1e-7. */
export function adamax(options: AdamaxOptions = {}): OptimizerConfig {
  return configure('adamax', options, { learningRate: 0.001 });
}

/** Dozat 2015: Adam with Nesterov momentum. Defaults: learningRate 0.001, beta1 0.9, beta2 0.999, epsilon 1e-7. */
export function nadam(options: NadamOptions = {}): OptimizerConfig {
  return configure('nadam', options, { learningRate: 0.001 });
}
