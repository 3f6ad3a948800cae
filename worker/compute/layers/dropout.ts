import * as tf from '@tensorflow/tfjs';
import { drawMask } from './random-values.js';
import { classOf } from './stock-layer.js';

/** What TensorFlow.js's own layers hold; they keep config and noise shape. */
interface StockDropout extends tf.layers.Layer {
  readonly rate: number;
  readonly seed?: number | null;
  getNoiseShape(input: tf.Tensor): number[] | null | undefined;
}

const StockDropoutLayer = classOf<StockDropout>(tf.layers.dropout({ rate: 0 }));
const StockSpatialDropout1D = classOf<StockDropout>(tf.layers.spatialDropout1d({ rate: 0 }));

interface StockAlphaDropout extends tf.layers.Layer {
  readonly rate: number;
  readonly noiseShape?: number[] | null;
}

const StockAlphaDropoutLayer = classOf<StockAlphaDropout>(tf.layers.alphaDropout({ rate: 0 }));

function dropOut(layer: StockDropout, inputs: tf.Tensor | tf.Tensor[], training: boolean): tf.Tensor {
  const input = Array.isArray(inputs) ? inputs[0] : inputs;
  if (!training || layer.rate <= 0) return input;
  if (layer.rate >= 1) return tf.zerosLike(input);
  const shape = layer.getNoiseShape(input) ?? input.shape;
  return tf.mul(input, drawMask(shape, layer.rate, layer.seed ?? null));
}

/** Dropout under the stock layer's class name and config. Its `seed` is mixed with step and shard: see `drawMask`. */
export class Dropout extends StockDropoutLayer {
  static readonly className = 'Dropout';

  override call(inputs: tf.Tensor | tf.Tensor[], kwargs: { training?: boolean } = {}): tf.Tensor {
    return dropOut(this, inputs, kwargs.training === true);
  }
}

/** Drops whole channels of [rows, positions, channels]. */
export class SpatialDropout1D extends StockSpatialDropout1D {
  static readonly className = 'SpatialDropout1D';

  override call(inputs: tf.Tensor | tf.Tensor[], kwargs: { training?: boolean } = {}): tf.Tensor {
    return dropOut(this, inputs, kwargs.training === true);
  }
}

/** What SELU tends to far below 0: -scale · alpha of Klambauer et al. (2017, section 2). */
const saturation = -1.0507009873554805 * 1.6732632423543772;

/** Sets values to SELU's saturation, keeping mean and variance (Klambauer et al. 2017, section 3). */
export class AlphaDropout extends StockAlphaDropoutLayer {
  static readonly className = 'AlphaDropout';

  override call(inputs: tf.Tensor | tf.Tensor[], kwargs: { training?: boolean } = {}): tf.Tensor {
    const input = Array.isArray(inputs) ? inputs[0] : inputs;
    const { rate } = this;
    if (kwargs.training !== true || rate <= 0 || rate >= 1) return input;
    const mask = drawMask(this.noiseShape ?? input.shape, rate, null);
    const kept = tf.cast(tf.greater(mask, 0), 'float32');
    const scale = ((1 - rate) * (1 + rate * saturation ** 2)) ** -0.5;
    const dropped = tf.mul(tf.sub(1, kept), saturation);
    return tf.add(tf.mul(tf.add(tf.mul(input, kept), dropped), scale), -scale * saturation * rate);
  }
}
