import * as tf from '@tensorflow/tfjs';
import { beforeAll, describe, expect, it } from 'vitest';
import { losses } from '../../shared/losses.js';
import { areaUnderRoc } from '../../shared/metrics/auc.js';
import { metricLabel, metrics, resolveMetricName } from '../../shared/metrics/metrics.js';
import type { FunctionRef, ProgramSpec } from '../../shared/program.js';
import { Random } from '../../shared/random.js';
import { RunningLogs } from '../../shared/sums.js';
import type { HostTensor } from '../../shared/tensors.js';
import { createEagerProgram } from '../../worker/compute/eager-program.js';
import { float32, runBatch, specOf } from './eager-fixture.js';

beforeAll(async () => {
  await tf.setBackend('cpu');
});

/** The value of metrics for given predictions, over shards: the model passes its input through. */
async function valuesOf(
  refs: readonly FunctionRef[],
  predictions: HostTensor,
  labels: HostTensor,
  { weights = null as HostTensor | null, shards = 2, loss = losses.meanSquaredError() } = {},
): Promise<number[]> {
  const model = tf.sequential({
    layers: [tf.layers.activation({ activation: 'linear', inputShape: predictions.shape.slice(1) })],
  });
  const spec: ProgramSpec = specOf(model, {
    outputs: [{ name: 'out', loss, lossWeight: 1 }],
    metrics: refs.map((metric, index) => ({
      output: 0,
      metric,
      weighted: weights !== null,
      label: `m${index}`,
    })),
  });
  const { program } = await createEagerProgram(spec, new Map());
  const batch = { x: [predictions], y: [labels], sampleWeights: [weights] };
  const { sums, scores } = await runBatch(program, 'evaluate', batch, shards);
  const logs = new RunningLogs(spec);
  logs.add(sums, scores, predictions.shape[0]);
  const values = logs.logs();
  return refs.map((_, index) => values[`m${index}`]);
}

const int32 = (shape: readonly number[], values: number[]): HostTensor => ({
  dtype: 'int32',
  shape,
  data: Int32Array.from(values),
});

const scores = float32([4, 3], [0.1, 0.7, 0.2, 0.5, 0.3, 0.2, 0.2, 0.2, 0.6, 0.4, 0.4, 0.2]);
const numbers = int32([4], [1, 1, 2, 0]);
const oneHot = float32([4, 3], [0, 1, 0, 0, 1, 0, 0, 0, 1, 1, 0, 0]);

describe('metrics', () => {
  it('counts hits for class numbers and one-hot labels alike', async () => {
    const sparse = await valuesOf(
      [resolveMetricName('sparse_categorical_accuracy'), resolveMetricName('accuracy')],
      scores,
      numbers,
      { loss: losses.sparseCategoricalCrossentropy() },
    );
    const dense = await valuesOf(
      [resolveMetricName('categoricalAccuracy'), resolveMetricName('acc')],
      scores,
      oneHot,
    );
    expect(sparse).toEqual([0.75, 0.75]);
    expect(dense).toEqual([0.75, 0.75]);
  });

  it('counts a hit among the top k, a tie with the k-th as a hit', async () => {
    const top = (k: number) => [metrics.topKCategoricalAccuracy({ k })];
    const sparseTop = (k: number) => [metrics.sparseTopKCategoricalAccuracy({ k })];
    expect(await valuesOf(top(1), scores, oneHot)).toEqual([0.75]);
    expect(await valuesOf(top(2), scores, oneHot)).toEqual([1]);
    const loss = losses.sparseCategoricalCrossentropy();
    expect(await valuesOf(sparseTop(1), scores, int32([4, 1], [0, 1, 1, 1]), { loss })).toEqual([0.25]);
    expect(await valuesOf(sparseTop(2), scores, int32([4, 1], [0, 1, 1, 1]), { loss })).toEqual([0.75]);
  });

  it('decides binary outputs at the threshold, the default being one half', async () => {
    const p = float32([6, 1], [0.9, 0.5, 0.6, 0.2, 0.51, 0.1]);
    const t = float32([6], [1, 1, 0, 0, 1, 1]);
    const refs = [
      metrics.accuracy(),
      metrics.binaryAccuracy({ threshold: 0.55 }),
      metrics.precision(),
      metrics.recall(),
      metrics.recall({ threshold: 0.05 }),
    ];
    const values = await valuesOf(refs, p, t);
    [3 / 6, 2 / 6, 2 / 3, 2 / 4, 1].forEach((expected, i) => {
      expect(values[i]).toBeCloseTo(expected, 12);
    });
  });

  it('gives 0 for 0/0', async () => {
    const p = float32([2, 1], [0.1, 0.2]);
    const refs = [metrics.precision(), metrics.recall(), metrics.auc(), metrics.r2Score()];
    expect(await valuesOf(refs, p, float32([2, 1], [0, 0]))).toEqual([0, 0, 0, 0]);
    const weights = float32([2], [0, 0]);
    expect(await valuesOf([metrics.meanSquaredError()], p, float32([2, 1], [1, 0]), { weights })).toEqual([
      0,
    ]);
  });

  it('divides weighted metrics by the sum of the weights', async () => {
    const weights = float32([4], [1, 3, 0.5, 0]);
    const [accuracy] = await valuesOf([metrics.categoricalAccuracy()], scores, oneHot, { weights });
    expect(accuracy).toBeCloseTo(1.5 / 4.5, 12);
    const p = float32([4, 1], [0.9, 0.8, 0.3, 0.7]);
    const t = float32([4, 1], [1, 0, 1, 1]);
    const [precision, recall] = await valuesOf([metrics.precision(), metrics.recall()], p, t, { weights });
    expect(precision).toBeCloseTo(1 / 4, 12);
    expect(recall).toBeCloseTo(1 / 1.5, 12);
  });

  it('takes the losses as means, the root of the mean square, cosine and R²', async () => {
    const p = float32([3, 1], [1, 2, 4]);
    const t = float32([3], [1.5, 2, 2]);
    const refs = ['mse', 'mae', 'rmse', 'r2_score'].map(resolveMetricName);
    const [mse, mae, rmse, r2] = await valuesOf(refs, p, t, { shards: 3 });
    expect(mse).toBeCloseTo(4.25 / 3, 6);
    expect(mae).toBeCloseTo(2.5 / 3, 6);
    expect(rmse).toBeCloseTo(Math.sqrt(4.25 / 3), 6);
    const mean = 5.5 / 3;
    expect(r2).toBeCloseTo(1 - 4.25 / ((1.5 - mean) ** 2 + 2 * (2 - mean) ** 2), 5);
    const directions = ['cosine_similarity', 'cosine_proximity'].map(resolveMetricName);
    const [similarity, proximity] = await valuesOf(
      directions,
      float32([2, 2], [1, 0, 1, 1]),
      float32([2, 2], [2, 0, 1, 0]),
    );
    expect(similarity).toBeCloseTo((1 + Math.SQRT1_2) / 2, 6);
    expect(proximity).toBeCloseTo(-similarity, 9);
  });

  it('labels logs as Keras does', () => {
    expect(metricLabel('acc')).toBe('acc');
    expect(metricLabel(metrics.topKCategoricalAccuracy({ k: 3 }))).toBe('top_k_categorical_accuracy');
    expect(() => resolveMetricName('acuracy')).toThrow(
      expect.objectContaining({ code: 'JOB_INVALID', hint: expect.stringContaining('"accuracy"') }),
    );
  });
});

describe('the area under the ROC curve', () => {
  /** Weighted share of (positive, negative) pairs in the right order, ties half: by looking at every pair. */
  function byPairs(triples: Float32Array): number {
    let right = 0;
    let pairs = 0;
    for (let i = 0; i < triples.length; i += 3) {
      for (let j = 0; j < triples.length; j += 3) {
        if (triples[i + 1] === 0 || triples[j + 1] !== 0) continue;
        const weight = triples[i + 2] * triples[j + 2];
        pairs += weight;
        if (triples[i] > triples[j]) right += weight;
        else if (triples[i] === triples[j]) right += weight / 2;
      }
    }
    return right / pairs;
  }

  it('equals the count over all pairs, with many ties and weights', () => {
    const random = new Random(11);
    for (let round = 0; round < 20; round++) {
      const rows = Array.from({ length: 60 }, () => [
        random.below(8) / 8,
        random.below(2),
        round % 2 === 0 ? 1 : random.next(),
      ]);
      const triples = Float32Array.from(rows.flat());
      expect(areaUnderRoc(triples)).toBeCloseTo(byPairs(triples), 12);
    }
  });

  it('is exact over the whole set, not a mean over shards', async () => {
    const random = new Random(12);
    const p = float32(
      [30, 1],
      Array.from({ length: 30 }, () => random.below(6) / 6),
    );
    const t = float32(
      [30, 1],
      Array.from({ length: 30 }, () => random.below(2)),
    );
    const triples = Float32Array.from({ length: 90 }, (_, i) =>
      i % 3 === 0 ? p.data[i / 3] : i % 3 === 1 ? t.data[(i - 1) / 3] : 1,
    );
    for (const shards of [1, 4]) {
      const [auc] = await valuesOf([metrics.auc()], p, t, { shards });
      expect(auc).toBeCloseTo(byPairs(triples), 12);
    }
  });

  it('is 1 for perfect order, 0 for reversed order, one half when all scores tie', () => {
    expect(areaUnderRoc(Float32Array.of(0.9, 1, 1, 0.1, 0, 1))).toBe(1);
    expect(areaUnderRoc(Float32Array.of(0.1, 1, 1, 0.9, 0, 1))).toBe(0);
    expect(areaUnderRoc(Float32Array.of(0.5, 1, 1, 0.5, 0, 1, 0.5, 0, 1))).toBe(0.5);
    expect(areaUnderRoc(Float32Array.of(Number.NaN, 1, 1, 0.5, 0, 1))).toBeNaN();
  });
});
