import type * as tf from '@tensorflow/tfjs';
import { deriveSeed, Random } from '../../../shared/random.js';
import { sizeOf } from '../../../shared/tensors.js';
import { type FedSource, type FedValue, fed } from '../fed.js';

/** Drawn at once, reused by every mask; small enough for the processor's first cache. */
const draws = new Uint32Array(2048);

/**
 * A dropout mask: each value is 0 with probability `rate` and 1 / (1 - rate) otherwise. Drawn from a generator that
 * is seeded by `Math.random`, which during a shard is the shard's own, and by the layer's seed if it has one (0 is a
 * seed like any other); so masks differ between steps, shards and calls, and repeat for the same ones.
 */
export function drawMask(shape: readonly number[], rate: number, layerSeed: number | null): tf.Tensor {
  const source = { kind: 'mask', shape, rate, layerSeed } as const;
  return fed(source, () => maskValue(source, Math.random));
}

/** Standard normal values, drawn as masks are. */
export function drawNoise(shape: readonly number[]): tf.Tensor {
  const source = { kind: 'noise', shape } as const;
  return fed(source, () => noiseValue(source, Math.random));
}

/** One number of the shard's generator seeds another one. */
function generatorOf(layerSeed: number | null, next: () => number): Random {
  const drawn = Math.floor(next() * 2 ** 32);
  return new Random(layerSeed === null ? drawn : deriveSeed(layerSeed, 'layer', drawn));
}

/** The next standard normal values of the shard's generator, from which it draws one number. */
export function noiseValue({ shape }: Extract<FedSource, { kind: 'noise' }>, next: () => number): FedValue {
  const random = generatorOf(null, next);
  const data = Float32Array.from({ length: sizeOf(shape) }, () => random.normal());
  return { dtype: 'float32', shape, data };
}

/** The next mask of the shard's generator, from which it draws one number. */
export function maskValue(
  { shape, rate, layerSeed }: Extract<FedSource, { kind: 'mask' }>,
  next: () => number,
): FedValue {
  const random = generatorOf(layerSeed, next);
  const mask = new Float32Array(sizeOf(shape));
  const threshold = rate * 2 ** 32;
  const kept = 1 / (1 - rate);
  for (let begin = 0; begin < mask.length; begin += draws.length) {
    random.fill(draws);
    const end = Math.min(begin + draws.length, mask.length);
    for (let i = begin; i < end; i++) mask[i] = kept * Number(draws[i - begin] >= threshold);
  }
  return { dtype: 'float32', shape, data: mask };
}
