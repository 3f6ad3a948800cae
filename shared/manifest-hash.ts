import { createHash } from 'node:crypto';
import type { Manifest } from './manifest.js';

/** SHA-256 over names, shapes and roles of all weights: two processes that agree on it agree on every offset. */
export function manifestHash({ weights, batchNorms, frozenLayers }: Manifest): string {
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
