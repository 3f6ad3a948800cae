import { type Digest, digestOf } from '../../shared/digest.js';
import type { Manifest } from '../../shared/manifest.js';
import { bytesOf } from '../../shared/tensors.js';

/** The digest of each trainable variable's gradient, in manifest order. @param gradient float32[trainableSize] */
export function gradientDigests({ weights }: Manifest, gradient: Float32Array): Digest[] {
  return weights
    .filter(({ trainable }) => trainable)
    .map(({ offset, size }) => digestOf([bytesOf(gradient.subarray(offset, offset + size))]));
}
