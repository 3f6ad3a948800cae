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
 * `C += Aᵀ·B` without transposing anything, where A and B are walked as `rows` × `columns` positions (a window
 * over an image) and each position holds m contiguous floats of A and n of B. The innermost loop adds the outer
 * product of 4 floats of A and 8 of B to 8 vector registers, position after position: one fixed order of additions
 * for each element of C.
 * Parameters (steps in bytes): a, aColumnStep, aRowStep, b, bColumnStep, bRowStep, rows, columns, c, cStep (from
 * one row of C to the next), m, n.
 */
export const addTransposedProduct: FunctionSource = defineFunction(
  'addTransposedProduct',
  12,
  (frame, a, aColumnStep, aRowStep, b, bColumnStep, bRowStep, rows, columns, c, cStep, m, n) => {
    const [aTile, bTile, cTile, cRow, aAt, bAt, aRow, bRow] = frame.locals('i32', 8);
    const [row, column, mDone, nDone] = frame.locals('i32', 4);
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

    const overPositions = (body: Code): Code =>
      seq(
        aRow.set(aTile.get),
        bRow.set(bTile.get),
        row.set(i32.const(0)),
        whileBelow(
          row,
          rows.get,
          i32.const(1),
          seq(
            aAt.set(aRow.get),
            bAt.set(bRow.get),
            column.set(i32.const(0)),
            whileBelow(
              column,
              columns.get,
              i32.const(1),
              seq(body, aAt.advance(aColumnStep.get), bAt.advance(bColumnStep.get)),
            ),
            aRow.advance(aRowStep.get),
            bRow.advance(bRowStep.get),
          ),
        ),
      );

    /** One tile: `height` floats of A by `width` of B (8, 4 or 1). */
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
      const nextRow = (j: number): Code => (j === perRow - 1 ? cRow.advance(cStep.get) : []);
      return seq(
        cRow.set(cTile.get),
        ...cells.map(({ sum, j }) => seq(sum.set(load(cRow.get, 16 * j)), nextRow(j))),
        overPositions(
          seq(
            ...bLocals.slice(0, perRow).map((local, j) => local.set(load(bAt.get, 16 * j))),
            ...cells.map(({ sum, i, j }) =>
              seq(
                j === 0 ? factor.set(scale(aAt.get, 4 * i)) : [],
                sum.set(add(sum.get, mul(factor.get, bLocals[j].get))),
              ),
            ),
          ),
        ),
        cRow.set(cTile.get),
        ...cells.map(({ sum, j }) => seq(store(cRow.get, sum.get, 16 * j), nextRow(j))),
      );
    };

    /** All tiles of `height` floats of A at `mDone`. */
    const stripe = (height: number): Code =>
      seq(
        nDone.set(i32.const(0)),
        aTile.set(i32.add(a.get, i32.mul(mDone.get, i32.const(4)))),
        ...[8, 4, 1].map((width) =>
          whileBelow(
            nDone,
            i32.sub(n.get, i32.const(width - 1)),
            i32.const(width),
            seq(
              bTile.set(i32.add(b.get, i32.mul(nDone.get, i32.const(4)))),
              cTile.set(
                seq(i32.add(i32.add(c.get, i32.mul(mDone.get, cStep.get)), i32.mul(nDone.get, i32.const(4)))),
              ),
              tile(height, width),
            ),
          ),
        ),
      );

    return seq(
      mDone.set(i32.const(0)),
      whileBelow(
        mDone,
        i32.sub(m.get, i32.const(rowsPerTile - 1)),
        i32.const(rowsPerTile),
        stripe(rowsPerTile),
      ),
      ...Array.from({ length: rowsPerTile - 1 }, (_, i) => rowsPerTile - 1 - i).map((height) =>
        when(i32.equal(i32.sub(m.get, mDone.get), i32.const(height)), stripe(height)),
      ),
    );
  },
);
