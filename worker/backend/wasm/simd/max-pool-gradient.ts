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
 * Adds the gradient of one pooling window to `dx`: for each channel, dy goes to the first pixel of the window (row by
 * row) whose x equals the window's maximum y.
 * Parameters (addresses of the window's first pixel in x and dx, of the output pixel in y and dy; steps in bytes): x,
 * dx, y, dy, rows, columns, rowStep, columnStep, channels.
 */
export const addMaxPoolGradient: FunctionSource = defineFunction(
  'addMaxPoolGradient',
  9,
  (frame, x, dx, y, dy, rows, columns, rowStep, columnStep, channels) => {
    const [channel, offset, rowOffset, row, column, at] = frame.locals('i32', 6);
    const [maximum, gradient, hit, taken] = frame.locals('v128', 4);
    const scalarMaximum = frame.local('f32');

    const overWindow = (body: Code): Code =>
      seq(
        row.set(i32.const(0)),
        rowOffset.set(i32.mul(channel.get, i32.const(4))),
        whileBelow(
          row,
          rows.get,
          i32.const(1),
          seq(
            offset.set(rowOffset.get),
            column.set(i32.const(0)),
            whileBelow(column, columns.get, i32.const(1), seq(body, offset.advance(columnStep.get))),
            rowOffset.advance(rowStep.get),
          ),
        ),
      );
    const outputAt = (base: Code): Code => i32.add(base, i32.mul(channel.get, i32.const(4)));
    const fourChannels = seq(
      maximum.set(v128.load(outputAt(y.get))),
      gradient.set(v128.load(outputAt(dy.get))),
      taken.set(f32x4.splat(f32.const(0))),
      overWindow(
        seq(
          hit.set(v128.andNot(f32x4.equal(v128.load(i32.add(x.get, offset.get)), maximum.get), taken.get)),
          taken.set(v128.or(taken.get, hit.get)),
          at.set(i32.add(dx.get, offset.get)),
          v128.store(at.get, f32x4.add(v128.load(at.get), v128.and(gradient.get, hit.get))),
        ),
      ),
    );
    const found = seq(
      at.set(i32.add(dx.get, offset.get)),
      f32.store(at.get, f32.add(f32.load(at.get), f32.load(outputAt(dy.get)))),
      // Leaves both loops: the gradient has been given.
      column.set(columns.get),
      row.set(rows.get),
    );
    const oneChannel = seq(
      scalarMaximum.set(f32.load(outputAt(y.get))),
      overWindow(when(f32.equal(f32.load(i32.add(x.get, offset.get)), scalarMaximum.get), found)),
    );
    return seq(
      channel.set(i32.const(0)),
      whileBelow(channel, i32.sub(channels.get, i32.const(3)), i32.const(4), fourChannels),
      whileBelow(channel, channels.get, i32.const(1), oneChannel),
    );
  },
);
