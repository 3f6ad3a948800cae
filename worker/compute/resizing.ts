/** Attributes of TensorFlow.js's ResizeBilinear and ResizeNearestNeighbor. */
export interface Resizing {
  readonly bilinear: boolean;
  /** Height and width of the result. */
  readonly size: readonly [number, number];
  /** Whether the corners of both images are the same points. */
  readonly alignCorners: boolean;
  /** Whether pixels are squares, whose centres are compared, not points. */
  readonly halfPixelCenters: boolean;
}

/** float32[rows, columns] */
export interface Matrix {
  readonly shape: readonly [number, number];
  readonly data: Float32Array;
}

/** The pixels of one axis that pixel `index` of the result is made of, and their shares. */
function sourcesOf(
  index: number,
  length: number,
  ratio: number,
  { bilinear, alignCorners, halfPixelCenters }: Resizing,
): readonly (readonly [number, number])[] {
  const inside = (place: number) => Math.min(length - 1, Math.max(0, place));
  if (!bilinear) {
    const place = ratio * (halfPixelCenters ? index + 0.5 : index);
    return [[inside(alignCorners ? Math.round(place) : Math.floor(place)), 1]];
  }
  const place = halfPixelCenters ? ratio * (index + 0.5) - 0.5 : ratio * index;
  const before = Math.max(0, Math.floor(place));
  const share = place - before;
  return [
    [before, 1 - share],
    [inside(Math.ceil(place)), share],
  ];
}

function matrixOf(length: number, newLength: number, resizing: Resizing): Matrix {
  const aligned = Number(resizing.alignCorners && newLength > 1);
  const ratio = (length - aligned) / (newLength - aligned);
  const data = new Float32Array(newLength * length);
  for (let index = 0; index < newLength; index++) {
    for (const [source, share] of sourcesOf(index, length, ratio, resizing)) {
      data[index * length + source] += share;
    }
  }
  return { shape: [newLength, length], data };
}

/**
 * A resize as two matrix products: float32[new height, height] and float32[new width, width], by which columns and
 * rows of pixels are multiplied, as TensorFlow.js's cpu backend computes it.
 */
export function resizingMatrices([height, width]: readonly [number, number], resizing: Resizing): Matrix[] {
  const [newHeight, newWidth] = resizing.size;
  return [matrixOf(height, newHeight, resizing), matrixOf(width, newWidth, resizing)];
}
