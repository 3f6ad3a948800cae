import * as tf from '@tensorflow/tfjs';

// The models that are compared with those of PyTorch. Those of MNIST end in logits, which their loss takes.
const { conv2d, batchNormalization, reLU, maxPooling2d, flatten, dropout, dense } = tf.layers;

/** Conv32-BN-Conv64-Pool-Dropout-Dense128-Dense10 for [28, 28, 1]. */
export function mnistCnn(): tf.LayersModel {
  return tf.sequential({
    layers: [
      conv2d({ inputShape: [28, 28, 1], filters: 32, kernelSize: 3, useBias: false }),
      batchNormalization(),
      reLU(),
      conv2d({ filters: 64, kernelSize: 3, activation: 'relu' }),
      maxPooling2d({ poolSize: 2 }),
      flatten(),
      dropout({ rate: 0.25 }),
      dense({ units: 128, activation: 'relu' }),
      dense({ units: 10 }),
    ],
  });
}

/** 784-300-100-10 for [28, 28, 1]. */
export function mnistMlp(): tf.LayersModel {
  const hidden = [300, 100].map((units) => dense({ units, activation: 'relu' }));
  return tf.sequential({ layers: [flatten({ inputShape: [28, 28, 1] }), ...hidden, dense({ units: 10 })] });
}

/**
 * ResNet-20 for CIFAR-10's [32, 32, 3] (He et al. 2015, section 4.2), with 1×1 convolutions for the shortcuts between
 * stages (option B).
 * @param side of other square images
 */
export function resnet20(side = 32): tf.LayersModel {
  const convolve = (x: tf.SymbolicTensor, filters: number, kernelSize: number, strides: number) =>
    conv2d({ filters, kernelSize, strides, padding: 'same', useBias: false }).apply(x) as tf.SymbolicTensor;
  const normalise = (x: tf.SymbolicTensor) => batchNormalization().apply(x) as tf.SymbolicTensor;
  const rectify = (x: tf.SymbolicTensor) => reLU().apply(x) as tf.SymbolicTensor;

  const input = tf.input({ shape: [side, side, 3] });
  let x = rectify(normalise(convolve(input, 16, 3, 1)));
  [16, 32, 64].forEach((filters, stage) => {
    for (let block = 0; block < 3; block++) {
      const strides = stage > 0 && block === 0 ? 2 : 1;
      const shortcut = strides === 1 ? x : convolve(x, filters, 1, strides);
      const inner = rectify(normalise(convolve(x, filters, 3, strides)));
      const residual = normalise(convolve(inner, filters, 3, 1));
      x = rectify(tf.layers.add().apply([residual, shortcut]) as tf.SymbolicTensor);
    }
  });
  const pooled = tf.layers.globalAveragePooling2d({}).apply(x) as tf.SymbolicTensor;
  return tf.model({ inputs: input, outputs: dense({ units: 10 }).apply(pooled) as tf.SymbolicTensor });
}

/** An LSTM of Keras's own gates, which PyTorch's has too, over [12 steps, 10 features], then Dense10. */
export function lstmClassifier(): tf.LayersModel {
  const lstm = tf.layers.lstm({ units: 24, inputShape: [12, 10], recurrentActivation: 'sigmoid' });
  return tf.sequential({ layers: [lstm, dense({ units: 10 })] });
}
