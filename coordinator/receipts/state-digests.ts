import { type Digest, digestOf } from '../../shared/digest.js';
import type { Json } from '../../shared/json.js';
import type { Manifest } from '../../shared/manifest.js';
import { bytesOf } from '../../shared/tensors.js';
import { encodeExact } from '../checkpoint/exact-json.js';
import type { Optimizer } from '../optimizer/optimizer.js';
import type { WeightsVersion } from '../round.js';
import type { StateDigests } from './receipt.js';

/** What a step changes; `ModelState` is one. */
export interface DigestedState {
  readonly manifest: Manifest;
  readonly weights: Pick<WeightsVersion, 'version' | 'flat'>;
  readonly optimizer: Pick<Optimizer, 'slots'>;
  /** Updates of the optimizer so far. */
  readonly iteration: number;
  /** The constant that a callback put in the schedule's place, or null. */
  readonly fixedLearningRate: number | null;
}

const utf8 = new TextEncoder();

/**
 * Digests of a state. That of the optimizer is over the line `ITERATION RATE\n` (`null`, or the rate that a callback
 * set, as JavaScript prints it), then for every slot, sorted by UTF-16 code unit, the line `VARIABLE/SLOT COUNT\n` and
 * its float32 little-endian bytes.
 */
export function digestsOfState(state: DigestedState): StateDigests {
  const { manifest, weights, optimizer, iteration, fixedLearningRate } = state;
  const { flat } = weights;
  const slots: [name: string, data: Float32Array][] = [];
  for (const [variable, byName] of optimizer.slots()) {
    for (const [slot, data] of Object.entries(byName)) slots.push([`${variable}/${slot}`, data]);
  }
  slots.sort(([a], [b]) => (a < b ? -1 : 1));
  return {
    weights: digestOf([bytesOf(flat.subarray(0, manifest.trainableSize))]),
    optimizer: digestOf([
      utf8.encode(`${iteration} ${fixedLearningRate}\n`),
      ...slots.flatMap(([name, data]) => [utf8.encode(`${name} ${data.length}\n`), bytesOf(data)]),
    ]),
    stats: digestOf([bytesOf(flat.subarray(manifest.trainableSize))]),
  };
}

/**
 * Digest of which samples a step consumed: their numbers as float64 little-endian (rows of a dataset, or records of a
 * stream in the order of reading), then the exact JSON of the cursor after them, which for a stream holds the rolling
 * SHA-256 of all that was read.
 */
export function dataDigest(samples: Float64Array, cursor: Json): Digest {
  return digestOf([bytesOf(samples), utf8.encode(encodeExact(cursor))]);
}
