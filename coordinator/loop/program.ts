import type * as tf from '@tensorflow/tfjs';
import { LockstepError } from '../../shared/errors.js';
import { resolveLossName } from '../../shared/losses.js';
import { metricLabel, resolveMetricName } from '../../shared/metrics/metrics.js';
import type { FunctionRef, MetricSpec, OutputSpec, ProgramSpec } from '../../shared/program.js';
import type { Job, LossOption, MetricOption, PerOutput } from '../job.js';
import type { CanonicalModel } from './canonical-model.js';

/** What is minimised and measured, as a job or `model.compile` says it. */
export interface Objective {
  readonly loss: PerOutput<LossOption>;
  readonly lossWeights?: Job['lossWeights'];
  readonly metrics?: Job['metrics'];
  readonly weightedMetrics?: Job['metrics'];
}

/**
 * Describes the work of a shard as plain data.
 * @param hasJob whether workers have a job file in which functions can be found by key
 * @throws LockstepError JOB_INVALID for unknown names or outputs, CODE_NOT_PORTABLE for a closure without a job
 */
export function describeProgram(
  { outputNames: names }: Pick<tf.LayersModel, 'outputNames'>,
  canonical: CanonicalModel,
  objective: Objective,
  { seed, hasJob }: { seed: number; hasJob: boolean },
): ProgramSpec {
  const weights = perOutput(names, objective.lossWeights ?? names.map(() => 1), 'lossWeights');
  const outputs: OutputSpec[] = perOutput(names, objective.loss, 'loss').map(({ value, key }, index) => ({
    name: canonical.outputNames[index],
    loss: reference(value, key, 'loss', hasJob),
    lossWeight: weights[index].value,
  }));
  return {
    topology: canonical.topology,
    frozenLayers: canonical.manifest.frozenLayers,
    outputs,
    metrics: [
      ...metricSpecs(names, objective.metrics, 'metrics', hasJob),
      ...metricSpecs(names, objective.weightedMetrics, 'weightedMetrics', hasJob),
    ],
    seed,
  };
}

interface Keyed<T> {
  readonly value: T;
  /** Where the job file holds it; `functionsOf` in shared/job-file.ts uses the same keys. */
  readonly key: string;
}

/** An output may itself be named "kind": then what stands there is a loss. */
function isReference(value: unknown): value is FunctionRef {
  if (typeof value !== 'object' || value === null || !('kind' in value)) return false;
  return value.kind === 'builtin' || value.kind === 'job';
}

/** Spreads one value, a list, or a record by output name over the outputs. */
function perOutput<T>(names: readonly string[], given: PerOutput<T>, field: string): Keyed<T>[] {
  if (Array.isArray(given)) {
    const list = given as readonly T[];
    if (list.length !== names.length) {
      throw invalid(`${field} has ${list.length} entries, the model ${names.length} outputs`, names);
    }
    return list.map((value, index) => ({ value, key: `${field}/${index}` }));
  }
  if (typeof given === 'object' && given !== null && !isReference(given)) {
    const record = given as Readonly<Record<string, T>>;
    const unknown = Object.keys(record).find((name) => !names.includes(name));
    if (unknown !== undefined)
      throw invalid(`${field} names the output "${unknown}", which the model does not have`, names);
    return names.map((name) => {
      if (!(name in record)) throw invalid(`${field} lacks the output "${name}"`, names);
      return { value: record[name], key: `${field}/${name}` };
    });
  }
  if (names.length > 1) {
    // Keras gives every output the same loss.
    return names.map(() => ({ value: given as T, key: field }));
  }
  return [{ value: given as T, key: field }];
}

function metricSpecs(
  names: readonly string[],
  given: Job['metrics'],
  field: 'metrics' | 'weightedMetrics',
  hasJob: boolean,
): MetricSpec[] {
  if (given === undefined) return [];
  const weighted = field === 'weightedMetrics';
  const spec = (output: number, option: MetricOption, key: string): MetricSpec => ({
    output,
    metric: reference(option, key, 'metric', hasJob),
    weighted,
    label: typeof option === 'function' ? option.name || 'metric' : metricLabel(option),
  });
  if (Array.isArray(given)) {
    const list = given as readonly MetricOption[];
    return names.flatMap((_, output) =>
      list.map((option, index) => spec(output, option, `${field}/${index}`)),
    );
  }
  return Object.entries(given as Readonly<Record<string, MetricOption | readonly MetricOption[]>>).flatMap(
    ([name, options]) => {
      const output = names.indexOf(name);
      if (output < 0)
        throw invalid(`${field} names the output "${name}", which the model does not have`, names);
      if (!Array.isArray(options)) return [spec(output, options as MetricOption, `${field}/${name}`)];
      return options.map((option: MetricOption, index) => spec(output, option, `${field}/${name}/${index}`));
    },
  );
}

function reference(option: LossOption, key: string, kind: 'loss' | 'metric', hasJob: boolean): FunctionRef {
  if (typeof option === 'string')
    return kind === 'loss' ? resolveLossName(option) : resolveMetricName(option);
  if (typeof option !== 'function') return option;
  const name = option.name || kind;
  if (hasJob) return { kind: 'job', key, name };
  throw new LockstepError(
    'CODE_NOT_PORTABLE',
    `the ${kind} "${name}" is a function in this process; workers cannot have it`,
    {
      hint: 'Put it in a job file (defineJob), which every worker loads from its own disk, or use a built-in by name.',
    },
  );
}

function invalid(message: string, names: readonly string[]): LockstepError {
  return new LockstepError('JOB_INVALID', message, { hint: `The model's outputs are: ${names.join(', ')}.` });
}
