import * as tf from '@tensorflow/tfjs';

/** Rows of a smooth function of four waves; the same on every call. */
export function rowsOfWaves(rows: number): { x: tf.Tensor; y: tf.Tensor } {
  const x = Float32Array.from({ length: rows * 4 }, (_, i) => Math.sin(i * 1.7));
  const y = Float32Array.from({ length: rows }, (_, row) => x[4 * row] - 0.5 * x[4 * row + 1]);
  return { x: tf.tensor(x, [rows, 4]), y: tf.tensor(y, [rows, 1]) };
}

/** A small compiled network with the same initial weights on every call. */
export function denseModel(units = 8): tf.LayersModel {
  const initialized = (seed: number) => ({ kernelInitializer: tf.initializers.glorotUniform({ seed }) });
  const model = tf.sequential({
    layers: [
      tf.layers.dense({ inputShape: [4], units, activation: 'tanh', ...initialized(1) }),
      tf.layers.dense({ units: 1, ...initialized(2) }),
    ],
  });
  model.compile({ optimizer: 'adam', loss: 'meanSquaredError' });
  return model;
}
