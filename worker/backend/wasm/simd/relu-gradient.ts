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

/**
 * `out = x > 0 ? dy : 0`, element by element; for NaN in x it is 0. Parameters: addresses of dy, x and out, and how
 * many contiguous floats.
 */
export const reluGradient: FunctionSource = defineFunction('reluGradient', 4, (frame, dy, x, out, count) => {
  const [index, offset] = frame.locals('i32', 2);
  const at = (base: Code): Code => i32.add(base, offset.get);
  const mask = f32x4.greater(v128.load(at(x.get)), f32x4.splat(f32.const(0)));
  const vectorStep = v128.store(at(out.get), v128.and(v128.load(at(dy.get)), mask));
  const scalarStep = when(
    f32.greater(f32.load(at(x.get)), f32.const(0)),
    f32.store(at(out.get), f32.load(at(dy.get))),
    f32.store(at(out.get), f32.const(0)),
  );
  const along = (width: 4 | 1, step: Code): Code =>
    whileBelow(
      index,
      i32.sub(count.get, i32.const(width - 1)),
      i32.const(width),
      seq(step, offset.advance(i32.const(4 * width))),
    );
  return seq(index.set(i32.const(0)), offset.set(i32.const(0)), along(4, vectorStep), along(1, scalarStep));
});
