import {
  type Code,
  defineFunction,
  type FunctionSource,
  f32,
  f32x4,
  i32,
  seq,
  v128,
  whileBelow,
} from '../../../../shared/simd/assembler.js';

const vectorsPerTile = 4;

/**
 * Adds the sum of `rows` rows of n contiguous floats to the n floats at `out`: the rows are summed in order, from
 * zero, and that sum is added once, so that a caller who cuts many rows into blocks gets the smaller rounding error
 * of blocked summation. Parameters (step in bytes): x, rowStep, rows, out, n.
 */
export const addRows: FunctionSource = defineFunction('addRows', 5, (frame, x, rowStep, rows, out, n) => {
  const [at, row, column, outAt] = frame.locals('i32', 4);
  const vectorSums = frame.locals('v128', vectorsPerTile);
  const scalarSum = frame.local('f32');

  const overRows = (body: Code): Code =>
    seq(
      at.set(i32.add(x.get, i32.mul(column.get, i32.const(4)))),
      row.set(i32.const(0)),
      whileBelow(row, rows.get, i32.const(1), seq(body, at.advance(rowStep.get))),
      outAt.set(i32.add(out.get, i32.mul(column.get, i32.const(4)))),
    );
  const vectorTile = (count: number): Code => {
    const sums = vectorSums.slice(0, count);
    return seq(
      ...sums.map((sum) => sum.set(f32x4.splat(f32.const(0)))),
      overRows(seq(...sums.map((sum, j) => sum.set(f32x4.add(sum.get, v128.load(at.get, 16 * j)))))),
      ...sums.map((sum, j) =>
        v128.store(outAt.get, f32x4.add(v128.load(outAt.get, 16 * j), sum.get), 16 * j),
      ),
    );
  };
  const scalarTile = seq(
    scalarSum.set(f32.const(0)),
    overRows(scalarSum.set(f32.add(scalarSum.get, f32.load(at.get)))),
    f32.store(outAt.get, f32.add(f32.load(outAt.get), scalarSum.get)),
  );
  const tiles: [number, Code][] = [
    [4 * vectorsPerTile, vectorTile(vectorsPerTile)],
    [4, vectorTile(1)],
    [1, scalarTile],
  ];
  return seq(
    column.set(i32.const(0)),
    ...tiles.map(([width, tile]) =>
      whileBelow(column, i32.sub(n.get, i32.const(width - 1)), i32.const(width), tile),
    ),
  );
});
