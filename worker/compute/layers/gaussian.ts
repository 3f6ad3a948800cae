import * as tf from '@tensorflow/tfjs';
import { drawNoise } from './random-values.js';
import { classOf } from './stock-layer.js';

interface StockNoise extends tf.layers.Layer {
  readonly stddev: number;
}

interface StockGaussianDropout extends tf.layers.Layer {
  readonly rate: number;
}

const StockGaussianNoise = classOf<StockNoise>(tf.layers.gaussianNoise({ stddev: 0 }));
const StockGaussianDropoutLayer = classOf<StockGaussianDropout>(tf.layers.gaussianDropout({ rate: 0 }));

type Call = { training?: boolean };

/** Adds normal noise, under the stock layer's class name and config. */
export class GaussianNoise extends StockGaussianNoise {
  static readonly className = 'GaussianNoise';

  override call(inputs: tf.Tensor | tf.Tensor[], kwargs: Call = {}): tf.Tensor {
    const input = Array.isArray(inputs) ? inputs[0] : inputs;
    if (kwargs.training !== true) return input;
    return tf.add(input, tf.mul(drawNoise(input.shape), this.stddev));
  }
}

/** Multiplies by normal values of mean 1 and the variance of Dropout's masks, under the stock layer's class name. */
export class GaussianDropout extends StockGaussianDropoutLayer {
  static readonly className = 'GaussianDropout';

  override call(inputs: tf.Tensor | tf.Tensor[], kwargs: Call = {}): tf.Tensor {
    const input = Array.isArray(inputs) ? inputs[0] : inputs;
    const { rate } = this;
    if (kwargs.training !== true || rate <= 0 || rate >= 1) return input;
    const deviation = Math.sqrt(rate / (1 - rate));
    return tf.mul(input, tf.add(tf.mul(drawNoise(input.shape), deviation), 1));
  }
}
