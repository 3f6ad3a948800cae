import type * as tf from '@tensorflow/tfjs';
import { LockstepError } from '../../shared/errors.js';
import { layersOf, type Manifest } from '../../shared/manifest.js';
import { planShards } from '../../shared/tree.js';

/**
 * Finds, before the first step, a shard in which BatchNorm would have a single value per channel: its variance is 0
 * and the layer's output would be constant.
 * @param rows of the whole epoch, or null where a stream does not say: then only full batches are checked
 * @throws LockstepError BATCHNORM_TOO_FEW naming the layer
 */
export function checkBatchNorm(
  model: tf.LayersModel,
  manifest: Manifest,
  { rows, batchSize, shards }: { rows: number | null; batchSize: number; shards: number },
): void {
  if (manifest.batchNorms.length === 0) return;
  const sizes = rows === null || rows % batchSize === 0 ? [batchSize] : [batchSize, rows % batchSize];
  const smallest = Math.min(
    ...sizes.map((size) => {
      const plan = planShards(size, batchSize, shards);
      const last = plan.rowsOf(plan.present - 1);
      return last.hi - last.lo;
    }),
  );
  if (smallest > 1) return;
  for (const { layer, trainable } of layersOf(model)) {
    if (layer.getClassName() !== 'BatchNormalization' || !trainable) continue;
    // A layer inside a wrapper has no node of its own; the worker finds it when it computes.
    if (layer.inboundNodes.length === 0) continue;
    const [{ shape }] = [layer.getInputAt(0)].flat();
    // Without the row and channel axes; an unknown length counts as one value.
    const valuesPerRow = shape.slice(1, -1).reduce<number>((product, dim) => product * (dim ?? 1), 1);
    if (smallest * valuesPerRow > 1) continue;
    throw new LockstepError(
      'BATCHNORM_TOO_FEW',
      `layer ${layer.name} would see a shard of 1 sample, with one value per channel (batches of ${batchSize}, ${shards} shards)`,
      { hint: 'Use fewer shards, or a batch size that leaves no single sample over.' },
    );
  }
}
