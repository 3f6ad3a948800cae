import * as tf from '@tensorflow/tfjs';
import { invariant, LockstepError } from '../../../shared/errors.js';
import { emitBatchMoments } from './batch-moments.js';
import { normalizeByBatch } from './normalize.js';
import { classOf } from './stock-layer.js';

/** What TensorFlow.js's own layer holds; it keeps config, weights and their order. */
interface StockLayer extends tf.layers.Layer {
  readonly axis: number;
  readonly epsilon: number;
  readonly gamma?: tf.LayerVariable;
  readonly beta?: tf.LayerVariable;
  readonly movingMean: tf.LayerVariable;
  readonly movingVariance: tf.LayerVariable;
}

const StockBatchNormalization = classOf<StockLayer>(tf.layers.batchNormalization());

/**
 * BatchNormalization as the trainer needs it, under the stock layer's class name, config and weights. In training it
 * normalises by the shard's own statistics and emits them instead of changing a weight: the coordinator merges them
 * over the whole batch. In inference, and frozen as in Keras, it uses the running statistics and emits nothing.
 */
export class BatchNormalization extends StockBatchNormalization {
  static readonly className = 'BatchNormalization';

  /** @throws LockstepError BATCHNORM_TOO_FEW in training on fewer than two values per channel */
  override call(inputs: tf.Tensor | tf.Tensor[], kwargs: { training?: boolean } = {}): tf.Tensor {
    const input = Array.isArray(inputs) ? inputs[0] : inputs;
    const axis = this.axis < 0 ? this.axis + input.rank : this.axis;
    const normalize = kwargs.training === true && this.trainable ? this.#byBatch : this.#byRunning;
    if (axis === input.rank - 1) return normalize(input);
    const channelsLast = input.shape.map((_, i) => i).filter((i) => i !== axis);
    channelsLast.push(axis);
    const back = input.shape.map((_, i) => channelsLast.indexOf(i));
    return tf.transpose(normalize(tf.transpose(input, channelsLast)), back);
  }

  readonly #byBatch = (x: tf.Tensor): tf.Tensor => {
    const channels = x.shape[x.rank - 1];
    const count = x.size / channels;
    if (count < 2) {
      throw new LockstepError(
        'BATCHNORM_TOO_FEW',
        `layer ${this.name} normalises ${count} value per channel in a shard; it needs at least 2`,
        {
          hint: 'Use fewer shards or a larger batch, so that no shard, also of the last batch, is that small.',
        },
      );
    }
    const gamma = this.gamma?.read() ?? tf.ones([channels]);
    const beta = this.beta?.read() ?? tf.zeros([channels]);
    return normalizeByBatch(x, gamma, beta, this.epsilon, (mean, variance) => {
      emitBatchMoments({ layer: this, count, mean, variance });
    });
  };

  readonly #byRunning = (x: tf.Tensor): tf.Tensor => {
    invariant(this.built, `layer ${this.name} is called before it is built`);
    const inverse = tf.rsqrt(tf.add(this.movingVariance.read(), this.epsilon));
    const factor = this.gamma === undefined ? inverse : tf.mul(inverse, this.gamma.read());
    const shift = tf.neg(tf.mul(this.movingMean.read(), factor));
    return tf.add(tf.mul(x, factor), this.beta === undefined ? shift : tf.add(shift, this.beta.read()));
  };
}
