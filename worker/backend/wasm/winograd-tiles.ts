import type { BackendWasm } from '@tensorflow/tfjs-backend-wasm';
import { addressOf, dispose, floats, type TensorInfo, zeros } from './kernel.js';

/** Entries of a transformed tile: 4×4. */
export const matrixCount = 16;
/** Tiles whose transformed values and products fit the processor's second cache with the filter. */
const tilesPerPass = 64;

export type Pair = readonly [number, number];

/** The tiles of a batch of outputs [n, h, w, …], and how they are taken: whole tile rows, some at a time. */
export interface Tiling {
  readonly rowsPerImage: number;
  readonly columns: number;
  readonly rows: number;
  readonly rowsPerPass: number;
}

export function tilingOf(outShape: readonly number[]): Tiling {
  const [samples, height, width] = outShape;
  const rowsPerImage = Math.ceil(height / 2);
  const columns = Math.ceil(width / 2);
  const rowsPerPass = Math.max(1, Math.floor(tilesPerPass / columns));
  return { rowsPerImage, columns, rows: samples * rowsPerImage, rowsPerPass };
}

/** Images cut into tile rows. */
export interface Images {
  readonly rowStep: number;
  readonly pixelStep: number;
  /** Address of the first pixel of tile row `index` of an image. Valid until the next call. */
  locate(image: number, index: number): number;
  dispose(): void;
}

/** Images [n, h, w, c] that hold all pixels of their tiles. */
export function wholeImages(backend: BackendWasm, tensor: TensorInfo): Images {
  const [, height, width, channels] = tensor.shape;
  const address = addressOf(backend, tensor);
  const pixelStep = 4 * channels;
  const rowStep = width * pixelStep;
  const locate = (image: number, index: number): number => address + (image * height + 2 * index) * rowStep;
  return { rowStep, pixelStep, locate, dispose: () => {} };
}

/**
 * Images whose tiles, `rows` pixel rows high, cover [height, width] pixels, of which `x` [n, h, w, c] fills those from
 * (top, left) on and zeros the rest. Where x does not fill them, each tile row is put together when it is asked for.
 */
export function framedImages(
  backend: BackendWasm,
  x: TensorInfo,
  rows: number,
  [height, width]: Pair,
  [top, left]: Pair,
): Images {
  const [, h, w, c] = x.shape;
  if (h === height && w === width) return wholeImages(backend, x);
  const strip = zeros(backend, [rows, width, c]);
  const locate = (image: number, index: number): number => {
    const [from, to] = [floats(backend, x), floats(backend, strip)];
    for (let row = 0; row < rows; row++) {
      const source = 2 * index + row - top;
      const target = (row * width + left) * c;
      const start = (image * h + source) * w * c;
      if (source < 0 || source >= h) to.fill(0, target, target + w * c);
      else to.set(from.subarray(start, start + w * c), target);
    }
    return addressOf(backend, strip);
  };
  return { rowStep: 4 * width * c, pixelStep: 4 * c, locate, dispose: () => dispose(backend, strip) };
}

/** 16 matrices [tiles of a pass, channels]. */
export interface TileMatrices {
  readonly tensor: TensorInfo;
  readonly address: number;
  readonly matrixStep: number;
  readonly rowStep: number;
}

export function tileMatrices(
  backend: BackendWasm,
  { rowsPerPass, columns }: Tiling,
  channels: number,
): TileMatrices {
  const tiles = rowsPerPass * columns;
  const tensor = backend.makeOutput([matrixCount, tiles, channels], 'float32');
  const rowStep = 4 * channels;
  return { tensor, address: addressOf(backend, tensor), matrixStep: tiles * rowStep, rowStep };
}

type Transform = (...operands: number[]) => void;

/** Runs a transform between the images and the matrices for the tile rows [from, to) of a pass. */
export function transformRows(
  transform: Transform,
  { rowsPerImage, columns }: Tiling,
  [from, to]: Pair,
  images: Images,
  matrices: TileMatrices,
): void {
  for (let row = from; row < to; row++) {
    transform(
      images.locate(Math.floor(row / rowsPerImage), row % rowsPerImage),
      images.rowStep,
      images.pixelStep,
      matrices.address + (row - from) * columns * matrices.rowStep,
      matrices.matrixStep,
      columns,
      matrices.rowStep / 4,
    );
  }
}
