import * as tf from '@tensorflow/tfjs';
import { drawMask } from './layers/random-values.js';

/** A recurrent cell caches its dropout masks from one call to the next. */
export interface RecurrentCell extends tf.layers.Layer {
  dropoutMask?: tf.Tensor | tf.Tensor[] | null;
  recurrentDropoutMask?: tf.Tensor | tf.Tensor[] | null;
  /** Drops out `ones`, which makes a mask. */
  dropoutFunc?: ((ones: tf.Tensor, rate: number) => tf.Tensor) | null;
}

interface Recurrent {
  readonly cell?: RecurrentCell & { readonly cells?: readonly RecurrentCell[] };
}

/** The cells of a recurrent layer, stacked ones singly; none for any other layer. */
export function cellsOf(layer: tf.layers.Layer): readonly RecurrentCell[] {
  const { cell } = layer as tf.layers.Layer & Recurrent;
  return cell === undefined ? [] : (cell.cells ?? [cell]);
}

/** Has cells draw their masks as Dropout does, so that a mask can be fed to a compiled step. */
export function drawDropoutMasks(cells: readonly RecurrentCell[]): void {
  for (const cell of cells) cell.dropoutFunc = (ones, rate) => drawMask(ones.shape, rate, null);
}

/** Drops the cached masks, so that nothing of a shard outlives it. */
export function forgetDropoutMasks(cells: readonly RecurrentCell[]): void {
  for (const cell of cells) {
    if (cell.dropoutMask) tf.dispose(cell.dropoutMask);
    if (cell.recurrentDropoutMask) tf.dispose(cell.recurrentDropoutMask);
    cell.dropoutMask = null;
    cell.recurrentDropoutMask = null;
  }
}
