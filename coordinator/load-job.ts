import { z } from 'zod';
import { didYouMean } from '../shared/did-you-mean.js';
import { LockstepError } from '../shared/errors.js';
import { readJobFile } from '../shared/job-file.js';
import type { Callback } from './callbacks/callback.js';
import { isJob, type Job, type JobContext, type LoadedJob } from './job.js';

/**
 * Reads a job file and checks every field that can be checked before the model is built.
 * @throws LockstepError JOB_NOT_FOUND if the file cannot be imported; JOB_INVALID if it exports no job made with
 * `defineJob`, or one with a field that cannot be used
 */
export async function loadJob(path: string): Promise<LoadedJob> {
  const file = await readJobFile(path);
  return {
    job: checkJob(file.exported, path),
    path: file.path,
    sha256: file.sha256,
    functions: file.functions,
    hasCode: file.functions.size > 0 || file.customClasses.length > 0,
  };
}

/**
 * The default export of a job file, as a job.
 * @param source what error messages call it
 * @throws LockstepError JOB_INVALID naming the field, what it should be and what it is
 */
export function checkJob(exported: unknown, source: string): Job {
  if (!isJob(exported)) {
    throw new LockstepError('JOB_INVALID', `${source}: the default export is no job made with defineJob`, {
      hint: 'Write: export default defineJob({ model, data, loss, optimizer, … });',
    });
  }
  const checked = jobSchema.safeParse(exported);
  if (checked.success) return exported;
  const [issue] = checked.error.issues;
  throw issue.code === 'unrecognized_keys'
    ? unknownField(issue, source)
    : wrongField(issue, exported, source);
}

/**
 * The job's callbacks.
 * @throws LockstepError JOB_INVALID if its function gives others than callbacks with names
 */
export function callbacksOf({ callbacks: given = [] }: Job, context: JobContext): readonly Callback[] {
  if (typeof given !== 'function') return given;
  const list = given(context);
  if (callbackList.safeParse(list).success) return list;
  throw new LockstepError('JOB_INVALID', 'the function callbacks gives no list of callbacks with names', {
    hint: "Write: callbacks: () => [{ name: 'mine', onEpochEnd(epoch, logs, training) { … } }].",
  });
}

// Every schema's message completes the sentence "expected …".
const positiveInt = z.int('an integer of at least 1').min(1, 'an integer of at least 1');
const fn = (what: string) => z.custom((value) => typeof value === 'function', what);

const functionRef = z.union(
  [
    z.strictObject({
      kind: z.literal('builtin'),
      name: z.string(),
      params: z.record(z.string(), z.union([z.number(), z.boolean()])),
    }),
    z.strictObject({ kind: z.literal('job'), key: z.string(), name: z.string() }),
  ],
  'a function',
);

const loss = z.union([z.string(), functionRef, fn('a function')], 'the name of a loss or a function');
const metric = z.union([z.string(), functionRef, fn('a function')], 'the name of a metric or a function');

const metrics = z.union(
  [z.array(metric), z.record(z.string(), z.union([metric, z.array(metric)]))],
  'a list of metrics, or a record of them by output name',
);

const optimizerNames = ['sgd', 'adagrad', 'adadelta', 'rmsprop', 'adam', 'adamw', 'adamax', 'nadam'] as const;
const clip = z.number('a positive number').positive('a positive number').optional();

const optimizer = z.union(
  [
    z.enum(optimizerNames),
    z.strictObject({
      name: z.enum(optimizerNames),
      learningRate: z.union([z.number().nonnegative(), z.object({ at: fn('a function') })]),
      params: z.record(z.string(), z.union([z.number(), z.boolean()])),
      weightDecay: z.number().nonnegative(),
      clipValue: clip,
      clipNorm: clip,
      globalClipNorm: clip,
    }),
  ],
  `one of ${optimizerNames.join(', ')}, by name or made by the function of that name`,
);

const callbackList = z.array(z.object({ name: z.string() }));

const callbacks = z.union(
  [callbackList, fn('a function')],
  'a list of callbacks, each with a name, or a function that returns one',
);

const jobSchema = z.strictObject({
  model: fn('a function that builds the model: model: () => …'),
  data: fn('a function that gives the data: data: () => ({ train, validation })'),
  loss: z.union(
    [loss, z.array(loss).min(1), z.record(z.string(), loss)],
    'the name of a loss or a function, or a list or record of them by output',
  ),
  lossWeights: z
    .union([z.array(z.number()), z.record(z.string(), z.number())], 'numbers, as a list or by output name')
    .optional(),
  optimizer,
  metrics: metrics.optional(),
  weightedMetrics: metrics.optional(),
  batchSize: positiveInt.optional(),
  epochs: positiveInt.optional(),
  initialEpoch: z.int('an integer of at least 0').min(0, 'an integer of at least 0').optional(),
  stepsPerEpoch: positiveInt.optional(),
  shuffle: z.boolean('true or false').optional(),
  shuffleBuffer: positiveInt.optional(),
  classWeight: z
    .record(z.string().regex(/^\d+$/, 'a class number'), z.number(), 'weights by class number')
    .optional(),
  validationSplit: z
    .number('a fraction between 0 and 1')
    .gt(0, 'a fraction between 0 and 1')
    .lt(1, 'a fraction between 0 and 1')
    .optional(),
  validationBatchSize: positiveInt.optional(),
  validationFreq: z
    .union([positiveInt, z.array(positiveInt)], 'an integer of at least 1, or a list of epochs')
    .optional(),
  callbacks: callbacks.optional(),
  shards: positiveInt.optional(),
  auditFraction: z
    .number('a number from 0 to 1')
    .min(0, 'a number from 0 to 1')
    .max(1, 'a number from 0 to 1')
    .optional(),
  seed: z.int('an integer').optional(),
  onNonFinite: z.enum(['stop', 'skip'], "'stop' or 'skip'").optional(),
  checkpoint: z
    .strictObject(
      {
        everySteps: positiveInt.optional(),
        everySeconds: z.number('a positive number').positive('a positive number').optional(),
        keepLast: positiveInt.optional(),
      },
      'an object with everySteps, everySeconds or keepLast',
    )
    .optional(),
});

function unknownField(issue: z.core.$ZodIssueUnrecognizedKeys, source: string): LockstepError {
  const within = [...issue.path];
  const schema = within[0] === 'checkpoint' ? jobSchema.shape.checkpoint.unwrap() : jobSchema;
  const known = Object.keys(schema.shape);
  const [field] = issue.keys;
  const near = didYouMean(field, known);
  return new LockstepError('JOB_INVALID', `${source}: unknown field ${[...within, field].join('.')}`, {
    hint: near === null ? `Fields are: ${known.join(', ')}.` : `Did you mean ${near}?`,
  });
}

function wrongField(issue: z.core.$ZodIssue, job: Job, source: string): LockstepError {
  const field = issue.path.join('.');
  let value: unknown = job;
  for (const key of issue.path) value = (value as Record<PropertyKey, unknown> | undefined)?.[key];
  const missing = value === undefined;
  const what = missing ? `field ${field} is missing` : `field ${field} cannot be ${shown(value)}`;
  return new LockstepError('JOB_INVALID', `${source}: ${what}; expected ${issue.message}`, {
    hint: missing ? `Add ${field} to the job.` : `Correct ${field} in the job.`,
  });
}

function shown(value: unknown): string {
  if (typeof value === 'function') return 'a function';
  if (Array.isArray(value)) return 'a list';
  if (typeof value === 'object' && value !== null) {
    return `an object with ${Object.keys(value).join(', ') || 'no fields'}`;
  }
  return typeof value === 'string' ? `"${value}"` : String(value);
}
