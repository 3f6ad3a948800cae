import { createHash } from 'node:crypto';
import type { Json } from '../../shared/json.js';
import { type Manifest, unflatten } from '../../shared/manifest.js';
import { bytesOf } from '../../shared/tensors.js';
import type { Slots } from '../optimizer/optimizer.js';
import { encodeExact } from './exact-json.js';

/** sha256, in hex, over the little-endian float32 bytes of `model.getWeights()` in order. */
export function weightsSha256(manifest: Manifest, flat: Float32Array): string {
  const hash = createHash('sha256');
  for (const weight of unflatten(manifest, flat)) hash.update(bytesOf(weight));
  return hash.digest('hex');
}

/** Everything the rest of a run depends on besides the job and its data. */
export interface HashedState {
  readonly manifest: Manifest;
  /** float32[totalSize] in manifest order: the weights, BatchNorm's running statistics among them. */
  readonly flat: Float32Array;
  readonly slots: ReadonlyMap<string, Slots>;
  /** Callback tensors, the open epoch's sums and metric scores. */
  readonly tensors: Readonly<Record<string, Float32Array | Float64Array>>;
  readonly step: number;
  readonly epoch: number;
  readonly cursor: Json;
  /** Updates of the optimizer so far. */
  readonly iteration: number;
  readonly learningRate: number | null;
  readonly callbacks: Readonly<Record<string, Readonly<Record<string, Json>>>>;
}

/**
 * sha256, in hex, of a run's state; equal for equal state, whatever computed it and wherever. It holds no time,
 * path, host or count of faults. It can be computed from a checkpoint by any program:
 *
 * 1. the ASCII line `lockstep state 1\n`;
 * 2. the exact JSON (exact-json.ts) of `{callbacks, cursor, epoch, iteration, learningRate, step}` and `\n`.
 *    In each callback's values, keys that begin with `~` describe this machine (a position in a file that
 *    others write to as well) and are left out;
 * 3. every tensor, sorted by its name's UTF-16 code units: the line `NAME DTYPE COUNT\n` in UTF-8, where DTYPE
 *    is `F32` or `F64` and COUNT the number of elements, followed by the elements' little-endian bytes. The
 *    names are `weights/WEIGHT`, `slots/VARIABLE/SLOT` and `tensors/TENSOR`.
 */
export function stateSha256(state: HashedState): string {
  const { callbacks, cursor, epoch, iteration, learningRate, step } = state;
  const hash = createHash('sha256');
  hash.update('lockstep state 1\n');
  const portable = Object.fromEntries(
    Object.entries(callbacks).map(([key, values]) => [
      key,
      Object.fromEntries(Object.entries(values).filter(([name]) => !name.startsWith('~'))),
    ]),
  );
  hash.update(
    `${encodeExact({ callbacks: portable, cursor, epoch, iteration, learningRate, step })}\n`,
    'utf8',
  );
  const named: [name: string, data: Float32Array | Float64Array][] = [];
  const weights = unflatten(state.manifest, state.flat);
  state.manifest.weights.forEach(({ name }, index) => {
    named.push([`weights/${name}`, weights[index]]);
  });
  for (const [variable, slots] of state.slots) {
    for (const [slot, data] of Object.entries(slots)) named.push([`slots/${variable}/${slot}`, data]);
  }
  for (const [name, data] of Object.entries(state.tensors)) named.push([`tensors/${name}`, data]);
  named.sort(([a], [b]) => (a < b ? -1 : 1));
  for (const [name, data] of named) {
    hash.update(`${name} ${data instanceof Float64Array ? 'F64' : 'F32'} ${data.length}\n`, 'utf8');
    hash.update(bytesOf(data));
  }
  return hash.digest('hex');
}
