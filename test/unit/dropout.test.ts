import * as tf from '@tensorflow/tfjs';
import { beforeAll, describe, expect, it } from 'vitest';
import { losses } from '../../shared/losses.js';
import { withSeededMathRandom } from '../../shared/random.js';
import { createEagerProgram } from '../../worker/compute/eager-program.js';
import { Dropout, SpatialDropout1D } from '../../worker/compute/layers/dropout.js';
import { drawMask } from '../../worker/compute/layers/random-values.js';
import { float32, specOf } from './eager-fixture.js';

beforeAll(async () => {
  await tf.setBackend('cpu');
});

const rows = 8;
const width = 12;
const ones = (shape: readonly number[]) =>
  float32(shape, new Array(shape.reduce((a, b) => a * b, 1)).fill(1));

/** A fingerprint of a shard's masks: the gradient of a dense layer behind the random one, for constant inputs. */
async function gradientWith(
  layer: (index: number) => tf.layers.Layer,
  { seed = 1, step = 0, shard = 0 } = {},
): Promise<number[]> {
  const model = tf.sequential({
    layers: [
      tf.layers.inputLayer({ inputShape: [4, width] }),
      layer(0),
      tf.layers.flatten(),
      tf.layers.dense({ units: 1, useBias: false }),
    ],
  });
  const spec = specOf(model, {
    seed,
    outputs: [{ name: 'out', loss: losses.meanAbsoluteError(), lossWeight: 1 }],
  });
  const { program, manifest } = await createEagerProgram(spec, new Map());
  program.setWeights(new Float32Array(manifest.totalSize).fill(0.1));
  const data = { x: [ones([rows, 4, width])], y: [ones([rows, 1])], sampleWeights: [null] };
  const { gradient } = await program.train({ step, shard, batchRows: rows, data });
  program.dispose();
  return Array.from(gradient);
}

describe('randomness in a shard', () => {
  const layers: [string, () => tf.layers.Layer][] = [
    ['Dropout', () => tf.layers.dropout({ rate: 0.4 })],
    ['Dropout with seed 0', () => tf.layers.dropout({ rate: 0.4, seed: 0 })],
    ['Dropout with seed 5', () => tf.layers.dropout({ rate: 0.4, seed: 5 })],
    ['SpatialDropout1D with a seed', () => tf.layers.spatialDropout1d({ rate: 0.4, seed: 3 })],
    ['GaussianNoise', () => tf.layers.gaussianNoise({ stddev: 0.5 })],
    ['GaussianDropout', () => tf.layers.gaussianDropout({ rate: 0.4 })],
    ['AlphaDropout', () => tf.layers.alphaDropout({ rate: 0.4 })],
    [
      'recurrent dropout',
      () => tf.layers.simpleRNN({ units: 5, dropout: 0.4, recurrentDropout: 0.4, returnSequences: true }),
    ],
    [
      'LSTM dropout',
      () => tf.layers.lstm({ units: 3, dropout: 0.4, recurrentDropout: 0.4, returnSequences: true }),
    ],
  ];

  it.each(layers)(
    'of %s repeats for the same step and shard, and differs between others',
    async (_, layer) => {
      const first = await gradientWith(layer);
      expect(await gradientWith(layer)).toEqual(first);
      expect(await gradientWith(layer, { step: 1 })).not.toEqual(first);
      expect(await gradientWith(layer, { shard: 1 })).not.toEqual(first);
      expect(await gradientWith(layer, { seed: 2 })).not.toEqual(first);
    },
  );

  it('differs between layer seeds, 0 among them', async () => {
    const seeds = [undefined, 0, 1];
    const gradients = await Promise.all(
      seeds.map((seed) => gradientWith(() => tf.layers.dropout({ rate: 0.4, seed }))),
    );
    expect(new Set(gradients.map(String)).size).toBe(3);
  });
});

describe('Dropout', () => {
  it('drops the given share, keeps the expected value, and is the identity in inference', () => {
    withSeededMathRandom(1, () => {
      const x = tf.ones([200, 500]);
      const layer = new Dropout({ rate: 0.3 });
      const y = (layer.apply(x, { training: true }) as tf.Tensor).dataSync();
      const dropped = y.filter((value) => value === 0).length / y.length;
      // Standard deviation of the share: sqrt(0.3 · 0.7 / 100000) = 0.00145.
      expect(Math.abs(dropped - 0.3)).toBeLessThan(0.006);
      expect(new Set(y)).toEqual(new Set([0, Math.fround(1 / 0.7)]));
      expect((layer.apply(x) as tf.Tensor).dataSync().every((value) => value === 1)).toBe(true);
    });
  });

  it('draws another mask at each call', () => {
    withSeededMathRandom(1, () => {
      expect(drawMask([50], 0.5, 3).dataSync()).not.toEqual(drawMask([50], 0.5, 3).dataSync());
    });
  });

  it('shares the mask along axes of size 1 in noiseShape, and along positions when spatial', () => {
    withSeededMathRandom(1, () => {
      const x = tf.ones([6, 5, 4]);
      const shared = new Dropout({ rate: 0.5, noiseShape: [null, 1, 4] }).apply(x, { training: true });
      const spatial = new SpatialDropout1D({ rate: 0.5 }).apply(x, { training: true });
      for (const y of [shared as tf.Tensor3D, spatial as tf.Tensor3D]) {
        const values = y.arraySync();
        for (const row of values) for (const position of row) expect(position).toEqual(row[0]);
        expect(new Set(values.map((row) => String(row[0]))).size).toBeGreaterThan(1);
      }
    });
  });
});
