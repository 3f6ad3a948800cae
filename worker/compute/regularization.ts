import type * as tf from '@tensorflow/tfjs';
import { layersOf } from '../../shared/manifest.js';
import { cellsOf } from './recurrent-cells.js';

/**
 * The regularisation losses of a model, each once: of every layer that trains, recurrent cells included, as in Keras.
 * (`model.calculateLosses()` counts a shared layer once per use and leaves the cells out.)
 */
export function regularizersOf(model: tf.LayersModel): (() => tf.Scalar)[] {
  const found = new Set<() => tf.Scalar>();
  for (const { layer, trainable } of layersOf(model)) {
    if (!trainable || 'layers' in layer) continue;
    for (const owner of [layer, ...cellsOf(layer)]) for (const loss of owner.losses) found.add(loss);
  }
  return [...found];
}
