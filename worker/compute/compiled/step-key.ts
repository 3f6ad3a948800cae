import { createHash } from 'node:crypto';
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { extname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import * as tf from '@tensorflow/tfjs';
import { manifestHash } from '../../../shared/manifest-hash.js';
import type { ShardTask } from '../../../shared/program.js';
import type { HostTensor } from '../../../shared/tensors.js';
import { version } from '../../../shared/version.js';
import type { ShardStep } from '../shard-step.js';
import { emitterVersion } from './emitter-version.js';
import { type Provider, runtimePackage } from './onnx/runtime-package.js';

/**
 * Which of a program's steps computes a shard. Types of the data do not count: they are fed as the model and the losses
 * want them.
 */
export function shardKey(
  step: Pick<ShardStep, 'functions' | 'regularizes'>,
  kind: 'train' | 'evaluate',
  task: ShardTask,
): string {
  const { x, y, sampleWeights } = task.data;
  // Class numbers come as [rows] or [rows, 1], and reach the graph alike; only functions of the job see which.
  const labels = step.functions.size > 0 ? y : y.map(withoutNarrowAxis);
  return JSON.stringify([kind, step.regularizes(task), ...[x, labels, sampleWeights].map(shapesOf)]);
}

/** The same for a prediction. */
export function predictionKey(x: readonly HostTensor[]): string {
  return JSON.stringify(['predict', shapesOf(x)]);
}

const shapesOf = (tensors: readonly (HostTensor | null)[]): (readonly number[] | null)[] =>
  tensors.map((tensor) => tensor?.shape ?? null);

function withoutNarrowAxis(tensor: HostTensor): HostTensor {
  const { shape } = tensor;
  return shape.length > 1 && shape[shape.length - 1] === 1
    ? { ...tensor, shape: shape.slice(0, -1) }
    : tensor;
}

/**
 * All that the graphs of a program without code of its own follow from, besides a step's own key: its definition, and
 * the program text that reads and writes it. The run's seed is left out: what is drawn from it is fed.
 */
export function programText(
  { spec, manifest }: Pick<ShardStep, 'spec' | 'manifest'>,
  provider: Provider,
  by = programVersions(),
): string {
  const { topology, frozenLayers, outputs, metrics } = spec;
  const model = { topology, frozenLayers, manifest: manifestHash(manifest) };
  return canonicalText({ model, outputs, metrics, provider, by });
}

/** What traces, writes and runs steps. Constants of a graph come from the Math of JavaScript, which Node brings. */
export function programVersions() {
  knownDigest ??= digestOfModules(packageFolder, ['worker/compute', 'shared']);
  const { name, version: runtime } = runtimePackage;
  const tfjs: Readonly<Record<string, string>> = { ...tf.version };
  const node = `${process.version} ${process.arch}`;
  return { lockstep: version, emitter: emitterVersion, modules: knownDigest, node, tfjs, [name]: runtime };
}

let knownDigest: string | null = null;

/** The sources, or `dist`. */
const packageFolder = fileURLToPath(new URL('../../../', import.meta.url));

/** SHA-256, hexadecimal. */
export const sha256Of = (data: string | Uint8Array): string =>
  createHash('sha256').update(data).digest('hex');

/**
 * Plain data as text that no other data has: unlike JSON, it tells NaN, infinities, -0 and undefined from null and 0.
 * The order of an object's keys does not count.
 * @throws TypeError for what is no plain data
 */
export function canonicalText(value: unknown): string {
  if (typeof value === 'number') return Object.is(value, -0) ? '-0' : String(value);
  if (value === undefined) return 'undefined';
  if (Array.isArray(value)) return `[${value.map(canonicalText)}]`;
  if (typeof value !== 'object' || value === null) {
    const text = JSON.stringify(value);
    if (text === undefined) throw new TypeError(`a ${typeof value} is no plain data`);
    return text;
  }
  if (Object.getPrototypeOf(value) !== Object.prototype) {
    throw new TypeError('an object of a class is no plain data');
  }
  const entries = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1));
  return `{${entries.map(([key, inner]) => `${JSON.stringify(key)}:${canonicalText(inner)}`)}}`;
}

/**
 * SHA-256 over the modules of some folders: a version alone would not tell one state of a clone from the next.
 * @param sinceMs when this process began to load them
 * @throws RangeError if one has been put there since, so that another may be running
 */
export function digestOfModules(
  root: string,
  folders: readonly string[],
  sinceMs = performance.timeOrigin,
): string {
  const hash = createHash('sha256');
  for (const folder of folders) {
    const names = readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' }).sort();
    for (const name of names.filter((found) => extname(found) === extname(import.meta.url))) {
      const path = join(root, folder, name);
      // Unlike the time of the contents, it cannot be set: packages are unpacked with old times.
      if (statSync(path).ctimeMs > sinceMs) throw new RangeError(`${path} is newer than this process`);
      const text = readFileSync(path);
      hash.update(`${folder}/${name} ${text.length}\n`).update(text);
    }
  }
  return hash.digest('hex');
}
