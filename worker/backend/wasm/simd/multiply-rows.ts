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

/**
 * `out += a ⊙ b`, element by element, for `rows` rows of n contiguous floats, one row after another; a step of zero
 * keeps a row in place, so that products add up. Parameters (steps in bytes): a, aStep, b, bStep, out, outStep, rows,
 * n.
 */
export const addMultipliedRows: FunctionSource = defineFunction(
  'addMultipliedRows',
  8,
  (frame, a, aStep, b, bStep, out, outStep, rows, n) => {
    const [row, index, offset, outAt] = frame.locals('i32', 4);
    const at = (base: Code): Code => i32.add(base, offset.get);
    const vectorStep = v128.store(
      outAt.get,
      f32x4.add(v128.load(outAt.get), f32x4.mul(v128.load(at(a.get)), v128.load(at(b.get)))),
    );
    const scalarStep = f32.store(
      outAt.get,
      f32.add(f32.load(outAt.get), f32.mul(f32.load(at(a.get)), f32.load(at(b.get)))),
    );
    const along = (width: 4 | 1, step: Code): Code =>
      whileBelow(
        index,
        i32.sub(n.get, i32.const(width - 1)),
        i32.const(width),
        seq(outAt.set(at(out.get)), step, offset.advance(i32.const(4 * width))),
      );
    return seq(
      row.set(i32.const(0)),
      whileBelow(
        row,
        rows.get,
        i32.const(1),
        seq(
          index.set(i32.const(0)),
          offset.set(i32.const(0)),
          along(4, vectorStep),
          along(1, scalarStep),
          a.advance(aStep.get),
          b.advance(bStep.get),
          out.advance(outStep.get),
        ),
      ),
    );
  },
);
