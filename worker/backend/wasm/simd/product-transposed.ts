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

const aRowsPerTile = 4;
const bRowsPerTile = 2;

/**
 * `C += A·Bᵀ` without transposing anything, for A of m rows and B of n rows of k contiguous floats. Each element is
 * summed in four interleaved parts (one vector register), then ((0+1)+(2+3)), then the last k mod 4 products.
 * Parameters (steps in bytes, from one row to the next): a, aStep, b, bStep, c, cStep, m, n, k.
 */
export const addProductTransposed: FunctionSource = defineFunction(
  'addProductTransposed',
  9,
  (frame, a, aStep, b, bStep, c, cStep, m, n, k) => {
    const [i, j, inner, at] = frame.locals('i32', 4);
    const aRows = frame.locals('i32', aRowsPerTile);
    const bRows = frame.locals('i32', bRowsPerTile);
    const sums = frame.locals('v128', aRowsPerTile * bRowsPerTile);
    const bVectors = frame.locals('v128', bRowsPerTile);
    const aVector = frame.local('v128');
    const total = frame.local('f32');

    const tile = (aCount: number, bCount: number): Code => {
      const cells = Array.from({ length: aCount * bCount }, (_, index) => ({
        sum: sums[index],
        aRow: Math.floor(index / bCount),
        bRow: index % bCount,
      }));
      const finish = ({ sum, aRow, bRow }: (typeof cells)[number]): Code =>
        seq(
          total.set(
            f32.add(
              f32.add(f32x4.lane(sum.get, 0), f32x4.lane(sum.get, 1)),
              f32.add(f32x4.lane(sum.get, 2), f32x4.lane(sum.get, 3)),
            ),
          ),
          inner.set(i32.sub(k.get, i32.and(k.get, i32.const(3)))),
          at.set(i32.const(0)),
          whileBelow(
            inner,
            k.get,
            i32.const(1),
            seq(
              total.set(
                f32.add(
                  total.get,
                  f32.mul(
                    f32.load(i32.add(aRows[aRow].get, at.get)),
                    f32.load(i32.add(bRows[bRow].get, at.get)),
                  ),
                ),
              ),
              at.advance(i32.const(4)),
            ),
          ),
          at.set(
            i32.add(
              i32.add(c.get, i32.mul(i32.add(i.get, i32.const(aRow)), cStep.get)),
              i32.mul(i32.add(j.get, i32.const(bRow)), i32.const(4)),
            ),
          ),
          f32.store(at.get, f32.add(f32.load(at.get), total.get)),
        );
      return seq(
        ...aRows
          .slice(0, aCount)
          .map((row, r) => row.set(i32.add(a.get, i32.mul(i32.add(i.get, i32.const(r)), aStep.get)))),
        ...bRows
          .slice(0, bCount)
          .map((row, r) => row.set(i32.add(b.get, i32.mul(i32.add(j.get, i32.const(r)), bStep.get)))),
        ...cells.map(({ sum }) => sum.set(f32x4.splat(f32.const(0)))),
        inner.set(i32.const(0)),
        whileBelow(
          inner,
          i32.sub(k.get, i32.const(3)),
          i32.const(4),
          seq(
            ...bVectors
              .slice(0, bCount)
              .map((vector, r) => seq(vector.set(v128.load(bRows[r].get)), bRows[r].advance(i32.const(16)))),
            ...cells.map(({ sum, aRow, bRow }) =>
              seq(
                bRow === 0
                  ? seq(aVector.set(v128.load(aRows[aRow].get)), aRows[aRow].advance(i32.const(16)))
                  : [],
                sum.set(f32x4.add(sum.get, f32x4.mul(aVector.get, bVectors[bRow].get))),
              ),
            ),
          ),
        ),
        ...cells.map(finish),
      );
    };

    const row = (aCount: number): Code =>
      seq(
        j.set(i32.const(0)),
        ...[bRowsPerTile, 1].map((bCount) =>
          whileBelow(j, i32.sub(n.get, i32.const(bCount - 1)), i32.const(bCount), tile(aCount, bCount)),
        ),
      );

    return seq(
      i.set(i32.const(0)),
      whileBelow(i, i32.sub(m.get, i32.const(aRowsPerTile - 1)), i32.const(aRowsPerTile), row(aRowsPerTile)),
      ...[3, 2, 1].map((aCount) => when(i32.equal(i32.sub(m.get, i.get), i32.const(aCount)), row(aCount))),
    );
  },
);
