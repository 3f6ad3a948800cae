import type * as tf from '@tensorflow/tfjs';

/** The constructor of a layer class that TensorFlow.js exports through its factory function only. */
export type StockLayerConstructor<Layer extends tf.layers.Layer> = (new (
  args: object,
) => Layer) &
  Pick<typeof tf.serialization.Serializable, 'fromConfig'>;

/** The class of a layer that a factory function made. */
export function classOf<Layer extends tf.layers.Layer>(
  instance: tf.layers.Layer,
): StockLayerConstructor<Layer> {
  return instance.constructor as unknown as StockLayerConstructor<Layer>;
}
