import * as tf from '@tensorflow/tfjs';

/** A recurrent cell caches its dropout masks from one call to the next. */
export interface RecurrentCell extends tf.layers.Layer {
  dropoutMask?: tf.Tensor | tf.Tensor[] | null;
  recurrentDropoutMask?: tf.Tensor | tf.Tensor[] | null;
}

interface Recurrent {
  readonly cell?: RecurrentCell & { readonly cells?: readonly RecurrentCell[] };
}

/** The cells of a recurrent layer, stacked ones singly; none for any other layer. */
export function cellsOf(layer: tf.layers.Layer): readonly RecurrentCell[] {
  const { cell } = layer as tf.layers.Layer & Recurrent;
  return cell === undefined ? [] : (cell.cells ?? [cell]);
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
