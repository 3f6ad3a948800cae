import type { Manifest } from '../../shared/manifest.js';
import type { Moments } from '../../shared/partial.js';

/** The first layer whose moments hold NaN or Inf, or null: a step that took them in could not be taken back. */
export function firstNonFiniteLayer(manifest: Manifest, moments: readonly Moments[]): string | null {
  const areFinite = (values: Float64Array): boolean => values.every(Number.isFinite);
  const bad = moments.find(({ mean, m2 }) => !areFinite(mean) || !areFinite(m2));
  return bad === undefined ? null : manifest.batchNorms[bad.batchNorm].layer;
}

/**
 * Moves BatchNorm's running statistics by one step: `running = momentum · running + (1 - momentum) · batch`, with
 * the mean and the population variance of the whole batch; a layer that is called twice moves twice, in call order.
 * @param flat float32[totalSize], changed in place
 */
export function updateRunningStatistics(
  manifest: Manifest,
  flat: Float32Array,
  moments: readonly Moments[],
): void {
  for (const { batchNorm, count, mean, m2 } of moments) {
    const { momentum, channels, mean: meanIndex, variance: varianceIndex } = manifest.batchNorms[batchNorm];
    const meanAt = manifest.weights[meanIndex].offset;
    const varianceAt = manifest.weights[varianceIndex].offset;
    for (let c = 0; c < channels; c++) {
      flat[meanAt + c] = momentum * flat[meanAt + c] + (1 - momentum) * mean[c];
      flat[varianceAt + c] = momentum * flat[varianceAt + c] + (1 - momentum) * (m2[c] / count);
    }
  }
}
