import {
  type Code,
  defineFunction,
  type FunctionSource,
  f32,
  f32x4,
  i32,
  seq,
  v128,
  when,
  whileBelow,
} from '../../../../shared/simd/assembler.js';

const rowsPerTile = 4;

/**
 * `C += A·B` for `rows` rows of A (k contiguous floats each), B of k rows of n contiguous floats, and rows of C that
 * may lie anywhere at equal distances. The innermost loop adds the outer product of 4 floats of A and 8 of B to 8
 * vector registers, for k = 0, 1, …: one fixed order of additions for each element of C.
 * Parameters (steps in bytes, from one row to the next): a, aStep, b, bStep, c, cStep, rows, k, n.
 */
export const addProduct: FunctionSource = defineFunction(
  'addProduct',
  9,
  (frame, a, aStep, b, bStep, c, cStep, rows, k, n) => {
    const [bAt, bTile, cAt, row, inner, column] = frame.locals('i32', 6);
    const aRows = frame.locals('i32', rowsPerTile);
    const vectors = {
      sums: frame.locals('v128', 2 * rowsPerTile),
      b: frame.locals('v128', 2),
      factor: frame.local('v128'),
    };
    const scalars = {
      sums: frame.locals('f32', rowsPerTile),
      b: frame.locals('f32', 1),
      factor: frame.local('f32'),
    };

    /** One tile: `height` rows by `width` columns (8, 4 or 1). */
    const tile = (height: number, width: number): Code => {
      const scalar = width === 1;
      const perRow = scalar ? 1 : width / 4;
      const { sums, b: bLocals, factor } = scalar ? scalars : vectors;
      const { add, mul } = scalar ? f32 : f32x4;
      const { load, store } = scalar ? f32 : v128;
      const scale = scalar ? f32.load : v128.loadSplat;
      const cells = Array.from({ length: height * perRow }, (_, i) => ({
        sum: sums[i],
        i: Math.floor(i / perRow),
        j: i % perRow,
      }));
      const nextRow = (j: number): Code => (j === perRow - 1 ? cAt.advance(cStep.get) : []);
      const toTile = cAt.set(
        i32.add(i32.add(c.get, i32.mul(row.get, cStep.get)), i32.mul(column.get, i32.const(4))),
      );
      return seq(
        toTile,
        ...cells.map(({ sum, j }) => seq(sum.set(load(cAt.get, 16 * j)), nextRow(j))),
        ...aRows
          .slice(0, height)
          .map((aRow, i) => aRow.set(i32.add(a.get, i32.mul(i32.add(row.get, i32.const(i)), aStep.get)))),
        bAt.set(bTile.get),
        inner.set(i32.const(0)),
        whileBelow(
          inner,
          k.get,
          i32.const(1),
          seq(
            ...bLocals.slice(0, perRow).map((local, j) => local.set(load(bAt.get, 16 * j))),
            ...cells.map(({ sum, i, j }) =>
              seq(
                j === 0 ? seq(factor.set(scale(aRows[i].get)), aRows[i].advance(i32.const(4))) : [],
                sum.set(add(sum.get, mul(factor.get, bLocals[j].get))),
              ),
            ),
            bAt.advance(bStep.get),
          ),
        ),
        toTile,
        ...cells.map(({ sum, j }) => seq(store(cAt.get, sum.get, 16 * j), nextRow(j))),
      );
    };

    /** All rows at the current columns. */
    const stripe = (width: number): Code =>
      seq(
        bTile.set(i32.add(b.get, i32.mul(column.get, i32.const(4)))),
        row.set(i32.const(0)),
        whileBelow(
          row,
          i32.sub(rows.get, i32.const(rowsPerTile - 1)),
          i32.const(rowsPerTile),
          tile(rowsPerTile, width),
        ),
        ...[3, 2, 1].map((height) =>
          when(i32.equal(i32.sub(rows.get, row.get), i32.const(height)), tile(height, width)),
        ),
      );

    return seq(
      column.set(i32.const(0)),
      ...[8, 4, 1].map((width) =>
        whileBelow(column, i32.sub(n.get, i32.const(width - 1)), i32.const(width), stripe(width)),
      ),
    );
  },
);
