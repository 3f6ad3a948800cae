import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { createRequire, register } from 'node:module';
import { extname, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import * as tf from '@tensorflow/tfjs';
import { LockstepError, messageOf } from './errors.js';
import type { JobFunctions, LossFunction, MetricFunction } from './job-functions.js';
import type { JobHooksData } from './job-hooks.js';

/** A job file as both sides read it, before anyone judges its contents. */
export interface JobFile {
  /** Absolute path. */
  readonly path: string;
  /** Of the file's bytes, hexadecimal. Workers compare it with the coordinator's. */
  readonly sha256: string;
  readonly exported: unknown;
  /** The job's own losses and metrics, by key. */
  readonly functions: JobFunctions;
  /** Class names that the file registered with `tf.serialization.registerClass`: custom layers and the like. */
  readonly customClasses: readonly string[];
}

/**
 * Imports a job file: TypeScript (`.ts`, `.tsx`, `.mts`) or JavaScript (`.js`, `.mjs`), in a main or worker thread.
 * It shares this process's instances of Lockstep and TensorFlow.js.
 * @throws LockstepError JOB_NOT_FOUND if the file does not exist or cannot be imported
 */
export async function readJobFile(file: string): Promise<JobFile> {
  const path = resolve(file);
  const bytes = await readFile(path).catch((cause: unknown) => {
    const missing = codeOf(cause) === 'ENOENT';
    const what = missing ? `the job file ${file} does not exist` : `cannot read the job file ${file}`;
    throw new LockstepError('JOB_NOT_FOUND', missing ? what : `${what}: ${messageOf(cause)}`, {
      hint: 'Give the path of a file that exports a job made with defineJob(...).',
      cause,
    });
  });
  const before = registeredClasses();
  const exported = await importDefault(path, file);
  const customClasses = [...registeredClasses()]
    .filter(([name, registered]) => before.get(name) !== registered)
    .map(([name]) => name);
  return {
    path,
    sha256: createHash('sha256').update(bytes).digest('hex'),
    exported,
    functions: functionsOf(exported),
    customClasses,
  };
}

let hasRunCode = false;

/** Whether this thread has imported a job file, which may have altered anything in it. */
export const hasRunJobCode = (): boolean => hasRunCode;

const typeScript = new Set(['.ts', '.tsx', '.mts']);

async function importDefault(path: string, shown: string): Promise<unknown> {
  try {
    if (typeScript.has(extname(path))) await readTypeScript();
    shareInstances();
    hasRunCode = true;
    const module: { default?: unknown } = await import(pathToFileURL(path).href);
    return module.default;
  } catch (cause) {
    throw new LockstepError('JOB_NOT_FOUND', `cannot import the job file ${shown}: ${oneLine(cause)}`, {
      hint: importHint(path, cause),
      cause,
    });
  }
}

function codeOf(thrown: unknown): unknown {
  return (thrown as { code?: unknown } | null)?.code;
}

/** esbuild, which reads the TypeScript, says what is wrong and where in the second line of its message. */
function oneLine(cause: unknown): string {
  const [first, second] = messageOf(cause).split('\n');
  return first.startsWith('Transform failed') && second ? second : first;
}

function importHint(path: string, cause: unknown): string {
  if (cause instanceof SyntaxError && extname(path) === '.js') {
    return 'Name the file .mjs or .ts, or put "type": "module" into its package.json.';
  }
  if (codeOf(cause) === 'ERR_MODULE_NOT_FOUND') {
    return 'Install the missing package, or correct the path of the import.';
  }
  return 'Correct the file; --verbose shows where it failed.';
}

let readsTypeScript = false;
let sharesInstances = false;

/** Once per thread: Node's loader understands TypeScript from then on. */
async function readTypeScript(): Promise<void> {
  if (readsTypeScript) return;
  const tsx = await import('tsx/esm/api');
  tsx.register();
  readsTypeScript = true;
}

/** Once per thread, and after tsx: the hooks registered last are asked first. */
function shareInstances(): void {
  if (sharesInstances) return;
  const tfjs = createRequire(import.meta.url).resolve('@tensorflow/tfjs');
  const data: JobHooksData = {
    instances: {
      lockstep: new URL('../index.js', import.meta.url).href,
      '@tensorflow/tfjs': pathToFileURL(tfjs).href,
    },
  };
  register(new URL('./job-hooks.js', import.meta.url).href, { data });
  sharesInstances = true;
}

function registeredClasses(): Map<string, unknown> {
  const { classNameMap } = tf.serialization.SerializationMap.getMap();
  return new Map(Object.entries(classNameMap).map(([name, [registered]]) => [name, registered]));
}

/**
 * Finds the functions of a job by the key that travels in their place. A job with one output names its loss
 * `loss`; a list counts from 0; a record uses the output's name.
 */
export function functionsOf(exported: unknown): JobFunctions {
  const functions = new Map<string, LossFunction | MetricFunction>();
  const collect = (value: unknown, key: string): void => {
    if (typeof value === 'function') functions.set(key, value as LossFunction | MetricFunction);
    else if (typeof value === 'object' && value !== null) {
      for (const [name, inner] of Object.entries(value)) collect(inner, `${key}/${name}`);
    }
  };
  if (typeof exported !== 'object' || exported === null) return functions;
  const job = exported as Readonly<Record<string, unknown>>;
  for (const field of ['loss', 'metrics', 'weightedMetrics']) collect(job[field], field);
  return functions;
}
