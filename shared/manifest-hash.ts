import { createHash } from 'node:crypto';
import type { Manifest } from './manifest.js';

/** A run asks for the hash of its manifest after every step. */
const known = new WeakMap<Manifest, string>();

/** SHA-256 over names, shapes and roles of all weights: two processes that agree on it agree on every offset. */
export function manifestHash(manifest: Manifest): string {
  const hash = known.get(manifest) ?? hashOf(manifest);
  known.set(manifest, hash);
  return hash;
}

function hashOf({ weights, batchNorms, frozenLayers }: Manifest): string {
  const canonical = JSON.stringify([
    weights.map(({ name, shape, trainable }) => [name, shape, trainable]),
    batchNorms.map(({ layer, momentum, channels, mean, variance }) => [
      layer,
      momentum,
      channels,
      mean,
      variance,
    ]),
    frozenLayers,
  ]);
  return createHash('sha256').update(canonical).digest('hex');
}
