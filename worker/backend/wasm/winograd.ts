import type { BackendWasm } from '@tensorflow/tfjs-backend-wasm';
import type { Conv2DInfo } from './conv2d-geometry.js';
import { addressOf, dispose, floats, reshaped, type TensorInfo, zeros } from './kernel.js';
import { simdOf } from './simd/module.js';
import { addFilterGradient, transformedBackwardFilter, transformedFilter } from './winograd-filter.js';
import {
  framedImages,
  matrixCount,
  type Pair,
  tileMatrices,
  tilingOf,
  transformRows,
  wholeImages,
} from './winograd-tiles.js';

/**
 * 3×3 convolutions of stride 1 by Winograd's F(2×2, 3×3): each tile of 2×2 outputs takes 16 products instead of 36.
 * The products of all tiles form 16 matrix products, done a few tile rows at a time so that they stay in cache.
 */

const fewestChannels = 16;
/** Passes whose filter gradients are summed before they are added to the rest. */
const passesPerSum = 8;

/** Whether a convolution has the shape for which this is faster than multiplying directly. */
export function winogradFits(info: Conv2DInfo): boolean {
  const { filterHeight, filterWidth, strideHeight, strideWidth, dilationHeight, dilationWidth, padInfo } =
    info;
  const { inChannels, outChannels } = info;
  return (
    filterHeight === 3 &&
    filterWidth === 3 &&
    [strideHeight, strideWidth, dilationHeight, dilationWidth].every((step) => step === 1) &&
    [padInfo.top, padInfo.bottom, padInfo.left, padInfo.right].every((pad) => pad >= 0 && pad <= 2) &&
    [inChannels, outChannels].every((channels) => channels >= fewestChannels && channels % 4 === 0)
  );
}

/**
 * Adds to `out` [n, oh, ow, d] the convolution of `x` [n, h, w, c], padded by (top, left) before, with a transformed
 * filter: 16 matrices [c, d].
 */
function addConvolution(
  backend: BackendWasm,
  x: TensorInfo,
  filterMatrices: TensorInfo,
  before: Pair,
  out: TensorInfo,
): void {
  const simd = simdOf(backend);
  const [, c, d] = filterMatrices.shape;
  const [n, outHeight, outWidth] = out.shape;
  const tiling = tilingOf(out.shape);
  const [height, width] = [2 * tiling.rowsPerImage, 2 * tiling.columns];
  const input = framedImages(backend, x, 4, [height + 2, width + 2], before);
  const fits = height === outHeight && width === outWidth;
  const target = fits ? reshaped(backend, out, out.shape) : zeros(backend, [n, height, width, d]);
  const output = wholeImages(backend, target);
  const inputs = tileMatrices(backend, tiling, c);
  const products = tileMatrices(backend, tiling, d);
  const filterAt = addressOf(backend, filterMatrices);
  for (let from = 0; from < tiling.rows; from += tiling.rowsPerPass) {
    const pass = [from, Math.min(from + tiling.rowsPerPass, tiling.rows)] as const;
    transformRows(simd.winogradInput, tiling, pass, input, inputs);
    floats(backend, products.tensor).fill(0);
    for (let i = 0; i < matrixCount; i++) {
      simd.addProduct(
        inputs.address + i * inputs.matrixStep,
        inputs.rowStep,
        filterAt + i * c * products.rowStep,
        products.rowStep,
        products.address + i * products.matrixStep,
        products.rowStep,
        (pass[1] - pass[0]) * tiling.columns,
        c,
        d,
      );
    }
    transformRows(simd.addWinogradOutput, tiling, pass, output, products);
  }
  if (!fits) addCropped(backend, target, out);
  input.dispose();
  dispose(backend, target, inputs.tensor, products.tensor);
}

/** Adds the top left part of each image of `images` to `out`. */
function addCropped(backend: BackendWasm, images: TensorInfo, out: TensorInfo): void {
  const { addRows } = simdOf(backend);
  const [, imageHeight, imageWidth] = images.shape;
  const [n, height, width, d] = out.shape;
  const [from, to] = [addressOf(backend, images), addressOf(backend, out)];
  for (let row = 0; row < n * height; row++) {
    const imageRow = Math.floor(row / height) * imageHeight + (row % height);
    addRows(from + 4 * imageRow * imageWidth * d, 0, 1, to + 4 * row * width * d, width * d);
  }
}

/** Adds the convolution of `x` with `filter` to `out`. */
export function addWinogradConvolution(
  backend: BackendWasm,
  x: TensorInfo,
  filter: TensorInfo,
  { padInfo }: Conv2DInfo,
  out: TensorInfo,
): void {
  const matrices = transformedFilter(backend, filter);
  addConvolution(backend, x, matrices, [padInfo.top, padInfo.left], out);
  dispose(backend, matrices);
}

/** Adds the input's gradient to `dx`: the convolution of dy, padded, with the filter turned around. */
export function addWinogradInputGradient(
  backend: BackendWasm,
  dy: TensorInfo,
  filter: TensorInfo,
  { padInfo }: Conv2DInfo,
  dx: TensorInfo,
): void {
  const matrices = transformedBackwardFilter(backend, filter);
  addConvolution(backend, dy, matrices, [2 - padInfo.top, 2 - padInfo.left], dx);
  dispose(backend, matrices);
}

/**
 * Adds the filter's gradient [3, 3, c, d] to `out`: each of the 16 matrices takes the sum over tiles of the outer product of
 * its transformed input and output gradient. Some passes at a time are summed from zero, then added.
 */
export function addWinogradFilterGradient(
  backend: BackendWasm,
  x: TensorInfo,
  dy: TensorInfo,
  { padInfo }: Conv2DInfo,
  out: TensorInfo,
): void {
  const simd = simdOf(backend);
  const [, , c, d] = out.shape;
  const tiling = tilingOf(dy.shape);
  const [height, width] = [2 * tiling.rowsPerImage, 2 * tiling.columns];
  const input = framedImages(backend, x, 4, [height + 2, width + 2], [padInfo.top, padInfo.left]);
  const gradient = framedImages(backend, dy, 2, [height, width], [0, 0]);
  const inputs = tileMatrices(backend, tiling, c);
  const gradients = tileMatrices(backend, tiling, d);
  const partial = zeros(backend, [matrixCount, c, d]);
  const total = zeros(backend, [matrixCount, c, d]);
  const [partialAt, totalAt] = [partial, total].map((tensor) => addressOf(backend, tensor));
  for (let from = 0, passes = 1; from < tiling.rows; from += tiling.rowsPerPass, passes++) {
    const pass = [from, Math.min(from + tiling.rowsPerPass, tiling.rows)] as const;
    transformRows(simd.winogradInput, tiling, pass, input, inputs);
    transformRows(simd.winogradOutputGradient, tiling, pass, gradient, gradients);
    for (let i = 0; i < matrixCount; i++) {
      simd.addTransposedProduct(
        inputs.address + i * inputs.matrixStep,
        inputs.rowStep,
        0,
        gradients.address + i * gradients.matrixStep,
        gradients.rowStep,
        0,
        1,
        (pass[1] - pass[0]) * tiling.columns,
        partialAt + i * c * gradients.rowStep,
        gradients.rowStep,
        c,
        d,
      );
    }
    if (passes % passesPerSum === 0 || pass[1] === tiling.rows) {
      simd.addRows(partialAt, 0, 1, totalAt, matrixCount * c * d);
      floats(backend, partial).fill(0);
    }
  }
  addFilterGradient(backend, total, out);
  input.dispose();
  gradient.dispose();
  dispose(backend, inputs.tensor, gradients.tensor, partial, total);
}
