/**
 * Predicts the prices of Californian houses from housing.csv, with a wide and deep network of two inputs:
 *
 *   lockstep train examples/housing/job.ts --data DIR --workers 2
 */
import { join } from 'node:path';
import * as tf from '@tensorflow/tfjs';
import {
  adam,
  applyFeatures,
  defineJob,
  fitFeatures,
  fromArrays,
  LockstepError,
  lambdaCallback,
  losses,
  readCsv,
  type Table,
} from 'lockstep';

const target = 'median_house_value';
/** The network computes in units of so many dollars: numbers near 1 suit it. */
const dollarsPerUnit = 100_000;
const wide = ['median_income', 'longitude', 'latitude', 'ocean_proximity'];
const deep = [
  'housing_median_age',
  'total_rooms',
  'total_bedrooms',
  'population',
  'households',
  'median_income',
  'longitude',
  'latitude',
];

/** Wide and deep (Cheng et al., 2016): one input goes straight to the output, the other through hidden layers. */
function wideAndDeep(wideWidth: number, deepWidth: number): tf.LayersModel {
  const wideInput = tf.input({ shape: [wideWidth], name: 'wide' });
  const deepInput = tf.input({ shape: [deepWidth], name: 'deep' });
  const dense = (units: number) =>
    tf.layers.dense({ units, activation: 'relu', kernelInitializer: 'heNormal' });
  const hidden = dense(32).apply(dense(64).apply(deepInput)) as tf.SymbolicTensor;
  const joined = tf.layers.concatenate().apply([wideInput, hidden]);
  const price = tf.layers.dense({ units: 1, name: 'price' }).apply(joined) as tf.SymbolicTensor;
  return tf.model({ inputs: [wideInput, deepInput], outputs: price });
}

export default defineJob({
  // 4 numbers with one of them a category of 5 values: 3 + 5 features.
  model: () => wideAndDeep(8, deep.length),
  async data({ dataDir, seed }) {
    if (dataDir === null) {
      throw new LockstepError('DATA_NOT_FOUND', 'the job needs the folder that holds housing.csv', {
        hint: 'Add --data DIR.',
      });
    }
    const { train, validation } = (await readCsv(join(dataDir, 'housing.csv'))).split({
      validation: 0.2,
      seed,
    });
    // Scales, fills and categories are learnt from the training rows alone.
    const wideFeatures = fitFeatures(train, { columns: wide });
    const deepFeatures = fitFeatures(train, { columns: deep });
    const dataset = (table: Table) =>
      fromArrays({
        x: [applyFeatures(wideFeatures, table), applyFeatures(deepFeatures, table)],
        y: table.numbers(target).data.map((dollars) => dollars / dollarsPerUnit),
      });
    return { train: dataset(train), validation: dataset(validation) };
  },
  loss: losses.huber({ delta: 1 }),
  optimizer: adam({ learningRate: 2e-3, globalClipNorm: 1 }),
  metrics: ['mae', 'rootMeanSquaredError'],
  batchSize: 64,
  epochs: 10,
  callbacks: [
    lambdaCallback({
      onTrainEnd({ val_rootMeanSquaredError }, training) {
        if (val_rootMeanSquaredError === undefined) return;
        const dollars = Math.round(val_rootMeanSquaredError * dollarsPerUnit).toLocaleString('en-US');
        training.print(
          `On houses that it was not trained on, its root mean squared error is ${dollars} dollars.`,
        );
      },
    }),
  ],
});
