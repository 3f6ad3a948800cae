import * as tf from '@tensorflow/tfjs';

/** What one call of a BatchNormalization layer saw: `count` values per channel. Kept: the receiver disposes. */
export interface BatchMoments {
  readonly layer: tf.layers.Layer;
  readonly count: number;
  /** float32[channels] */
  readonly mean: tf.Tensor;
  /** float32[channels], of the population */
  readonly variance: tf.Tensor;
}

let receiver: BatchMoments[] | null = null;

/** Runs `compute`; the moments that its BatchNormalization layers emit are pushed to `into`, in call order. */
export function collectBatchMoments<T>(into: BatchMoments[], compute: () => T): T {
  const outer = receiver;
  receiver = into;
  try {
    return compute();
  } finally {
    receiver = outer;
  }
}

/** Hands moments to whoever collects. Outside of `collectBatchMoments` they are dropped. */
export function emitBatchMoments(moments: BatchMoments): void {
  if (receiver === null) return;
  tf.keep(moments.mean);
  tf.keep(moments.variance);
  receiver.push(moments);
}
