import {
  type Code,
  defineFunction,
  type FunctionSource,
  f32x4,
  i32,
  type Local,
  seq,
  v128,
  whileBelow,
} from '../../../../shared/simd/assembler.js';

/**
 * The transforms of Winograd's minimal filtering F(2×2, 3×3) (Lavin & Gray 2015, "Fast algorithms for convolutional
 * neural networks", section 4.1): Y = Aᵀ[(G·g·Gᵀ) ⊙ (Bᵀ·d·B)]A, with the last row of Bᵀ and the last column of Aᵀ
 * negated, which cancels and needs no negation. Each works on one row of tiles, four channels at a time.
 */

/** A vector as a signed sum of vectors: `[add, subtract]` by index; the first of `add` starts the sum. */
type SignedSum = readonly [add: readonly number[], subtract: readonly number[]];

/** Bᵀ: 4 inputs to 4 values. */
const inputRows: readonly SignedSum[] = [
  [[0], [2]],
  [[1, 2], []],
  [[2], [1]],
  [[3], [1]],
];
/** Aᵀ: 4 products to 2 outputs. */
const outputRows: readonly SignedSum[] = [
  [[0, 1, 2], []],
  [[1, 3], [2]],
];
/** A: 2 output gradients to 4 values. */
const gradientRows: readonly SignedSum[] = [
  [[0], []],
  [[0, 1], []],
  [[0], [1]],
  [[1], []],
];

function signedSum([add, subtract]: SignedSum, terms: readonly Local[]): Code {
  const [first, ...rest] = add.map((index) => terms[index].get);
  const positive = rest.reduce((sum, term) => f32x4.add(sum, term), first);
  return subtract.reduce((sum, index) => f32x4.sub(sum, terms[index].get), positive);
}

/**
 * T·X·Tᵀ for each tile of a row. Pixels lie in an image (`rowStep`, `pixelStep` apart, tiles two pixels apart), matrix
 * entries `matrixStep` apart, tiles below each other in each matrix.
 * Parameters (steps in bytes): image, rowStep, pixelStep, matrices, matrixStep, tiles, channels.
 */
function transform(
  name: string,
  rows: readonly SignedSum[],
  side: number,
  direction: 'fromImage' | 'intoImage',
): FunctionSource {
  return defineFunction(
    name,
    7,
    (frame, image, rowStep, pixelStep, matrices, matrixStep, tiles, channels) => {
      const [tile, channel, imageAt, matrixAt, at] = frame.locals('i32', 5);
      const column = frame.locals('v128', side);
      const half = frame.locals('v128', rows.length * side);
      const outSide = rows.length;
      const pixel = (row: number, col: number): Code =>
        i32.add(
          i32.add(imageAt.get, i32.mul(rowStep.get, i32.const(row))),
          i32.mul(pixelStep.get, i32.const(col)),
        );
      const entry = (row: number, col: number): Code =>
        i32.add(matrixAt.get, i32.mul(matrixStep.get, i32.const(4 * row + col)));
      const [source, target] = direction === 'fromImage' ? [pixel, entry] : [entry, pixel];
      const result = (row: number, col: number): Code =>
        signedSum(
          rows[col],
          Array.from({ length: side }, (_, j) => half[row * side + j]),
        );
      const indices = (length: number): number[] => Array.from({ length }, (_, i) => i);
      const fourChannels = seq(
        ...indices(side).map((col) =>
          seq(
            ...indices(side).map((row) => column[row].set(v128.load(source(row, col)))),
            ...indices(outSide).map((row) => half[row * side + col].set(signedSum(rows[row], column))),
          ),
        ),
        ...indices(outSide).flatMap((row) =>
          indices(outSide).map((col) => {
            if (direction === 'fromImage') return v128.store(target(row, col), result(row, col));
            return seq(
              at.set(target(row, col)),
              v128.store(at.get, f32x4.add(v128.load(at.get), result(row, col))),
            );
          }),
        ),
        imageAt.advance(i32.const(16)),
        matrixAt.advance(i32.const(16)),
      );
      return seq(
        tile.set(i32.const(0)),
        matrixAt.set(matrices.get),
        whileBelow(
          tile,
          tiles.get,
          i32.const(1),
          seq(
            imageAt.set(i32.add(image.get, i32.mul(i32.mul(tile.get, i32.const(2)), pixelStep.get))),
            channel.set(i32.const(0)),
            whileBelow(channel, channels.get, i32.const(4), fourChannels),
          ),
        ),
      );
    },
  );
}

export const winogradTransforms = {
  /** 4×4 input pixels of each tile to 16 matrices [tiles, channels]. */
  winogradInput: transform('winogradInput', inputRows, 4, 'fromImage'),
  /** 16 matrices [tiles, channels] to 2×2 output pixels of each tile, added to what is there. */
  addWinogradOutput: transform('addWinogradOutput', outputRows, 4, 'intoImage'),
  /** 2×2 output gradients of each tile to 16 matrices [tiles, channels]. */
  winogradOutputGradient: transform('winogradOutputGradient', gradientRows, 2, 'fromImage'),
};
