import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as tf from '@tensorflow/tfjs';
import { afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { nodeDisk } from '../../coordinator/checkpoint/disk.js';
import { modelArtifacts, modelData } from '../../coordinator/checkpoint/model-files.js';
import { loadModel, removeModel, saveModel } from '../../coordinator/checkpoint/saved-model.js';
import { CheckpointStore } from '../../coordinator/checkpoint/store.js';
import { snapshotAt } from './checkpoint-snapshot.js';

let directory: string;
beforeAll(async () => {
  await tf.setBackend('cpu');
});
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'lockstep-model-'));
});
afterEach(() => rm(directory, { recursive: true, force: true }));

/** A loader for plain `tf.loadLayersModel`, as someone without Lockstep would write it. */
const plainLoader = (path: string): tf.io.IOHandler => ({
  load: async () => {
    const json = JSON.parse(await readFile(join(path, 'model.json'), 'utf8'));
    const [{ paths, weights }] = json.weightsManifest;
    const files = await Promise.all(paths.map((name: string) => readFile(join(path, name))));
    const bytes = Uint8Array.from(Buffer.concat(files));
    return { modelTopology: json.modelTopology, weightSpecs: weights, weightData: bytes.buffer };
  },
});

function sequential(): tf.LayersModel {
  return tf.sequential({
    layers: [
      tf.layers.conv2d({ inputShape: [6, 6, 1], filters: 2, kernelSize: 3 }),
      tf.layers.batchNormalization(),
      tf.layers.flatten(),
      tf.layers.dense({ units: 3, activation: 'softmax' }),
    ],
  });
}

function nested(): tf.LayersModel {
  const inner = tf.sequential({
    name: 'encoder',
    layers: [
      tf.layers.dense({ inputShape: [4], units: 3, trainable: false }),
      tf.layers.batchNormalization(),
    ],
  });
  const a = tf.input({ shape: [4], name: 'a' });
  const b = tf.input({ shape: [4], name: 'b' });
  const shared = tf.layers.dense({ units: 2, name: 'shared' });
  const joined = tf.layers
    .concatenate()
    .apply([
      shared.apply(inner.apply(a)) as tf.SymbolicTensor,
      shared.apply(inner.apply(b)) as tf.SymbolicTensor,
    ]);
  const outputs = tf.layers.dense({ units: 1, name: 'out' }).apply(joined) as tf.SymbolicTensor;
  return tf.model({ inputs: [a, b], outputs });
}

function recurrent(): tf.LayersModel {
  return tf.sequential({
    layers: [
      tf.layers.embedding({ inputShape: [5], inputDim: 7, outputDim: 3 }),
      tf.layers.bidirectional({
        layer: tf.layers.lstm({ units: 2, returnSequences: true }) as tf.RNN,
        mergeMode: 'concat',
      }),
      tf.layers.timeDistributed({ layer: tf.layers.dense({ units: 2 }) }),
      tf.layers.gru({ units: 2 }),
    ],
  });
}

const models: [name: string, make: () => tf.LayersModel, inputs: () => tf.Tensor[]][] = [
  ['a sequential CNN with BatchNorm', sequential, () => [tf.randomNormal([2, 6, 6, 1], 0, 1, 'float32', 5)]],
  [
    'nested and shared layers, some frozen',
    nested,
    () => [1, 2].map((seed) => tf.randomNormal([2, 4], 0, 1, 'float32', seed)),
  ],
  [
    'embeddings, wrappers and recurrent layers',
    recurrent,
    () => [
      tf.tensor2d(
        [
          [0, 1, 2, 3, 4],
          [6, 5, 4, 3, 2],
        ],
        [2, 5],
      ),
    ],
  ],
];

/** Random weights, so that every single one matters (BatchNorm starts with zeros and ones). */
function randomise(model: tf.LayersModel): tf.LayersModel {
  tf.tidy(() => {
    model.setWeights(
      model.getWeights().map((weight, i) => tf.randomUniform(weight.shape, 0.1, 1, 'float32', i + 1)),
    );
  });
  return model;
}

const predict = (model: tf.LayersModel, inputs: tf.Tensor[]): number[] =>
  tf.tidy(() => Array.from((model.predict(inputs) as tf.Tensor).dataSync()));

describe.each(models)('a saved model: %s', (_, make, inputs) => {
  it('is loaded by plain TensorFlow.js and predicts the same', async () => {
    const model = randomise(make());
    const expected = predict(model, inputs());
    await saveModel(model, directory);
    const loaded = await tf.loadLayersModel(plainLoader(directory));
    expect(predict(loaded, inputs())).toEqual(expected);
    const artifacts = modelArtifacts(modelData(model));
    const fromMemory = await tf.loadLayersModel(tf.io.fromMemory(artifacts));
    expect(predict(fromMemory, inputs())).toEqual(expected);
  });

  it('is loaded by loadModel, without a tensor left over', async () => {
    const model = randomise(make());
    const expected = predict(model, inputs());
    await saveModel(model, directory);
    const before = tf.memory().numTensors;
    const loaded = await loadModel(directory);
    expect(tf.memory().numTensors - before).toBe(loaded.weights.length);
    expect(predict(loaded, inputs())).toEqual(expected);
  });

  it('is loaded from a checkpoint and from a run folder', async () => {
    const model = randomise(make());
    const expected = predict(model, inputs());
    const { path } = await new CheckpointStore(directory).write({ ...snapshotAt(1), ...modelData(model) });
    for (const where of [path, directory]) {
      expect(predict(await loadModel(where), inputs())).toEqual(expected);
    }
    expect(predict(await tf.loadLayersModel(plainLoader(path)), inputs())).toEqual(expected);
  });
});

describe('saveModel', () => {
  const save = (value: number) => {
    const model = tf.sequential({ layers: [tf.layers.dense({ inputShape: [1], units: 1, useBias: false })] });
    model.setWeights([tf.tensor2d([[value]])]);
    return model;
  };

  it('replaces the model before in one instant, whatever operation fails', async () => {
    for (let failing = 1; failing <= 8; failing++) {
      await saveModel(save(1), directory);
      let count = 0;
      const guarded = <Args extends unknown[], T>(work: (...args: Args) => Promise<T>) => {
        return (...args: Args) => {
          if (++count < failing) return work(...args);
          return Promise.reject(Object.assign(new Error('EIO'), { code: 'EIO' }));
        };
      };
      const { makeDirectory, write, rename, sync, remove } = nodeDisk;
      const failed = await saveModel(save(2), directory, {
        ...nodeDisk,
        makeDirectory: guarded(makeDirectory),
        write: guarded(write),
        rename: guarded(rename),
        sync: guarded(sync),
        remove: guarded(remove),
      }).then(
        () => null,
        (error) => error.code,
      );
      const [weight] = (await loadModel(directory)).getWeights()[0].dataSync();
      if (failed === null) expect(weight).toBe(2);
      else expect([failed, [1, 2].includes(weight)]).toEqual(['CHECKPOINT_UNWRITABLE', true]);
      expect(failed === null).toBe(failing > 6);
    }
  });

  it('keeps one model and the files of others', async () => {
    await writeFile(join(directory, 'notes.txt'), '');
    await saveModel(save(1), directory);
    await saveModel(save(2), directory);
    expect((await readdir(directory)).map((name) => name.replace(/-.*\./, '.')).sort()).toEqual([
      'model.json',
      'notes.txt',
      'weights.bin',
    ]);
    await removeModel(directory);
    expect(await readdir(directory)).toEqual(['notes.txt']);
  });
});

describe('loadModel', () => {
  it('says what is wrong with a folder', async () => {
    await expect(loadModel(join(directory, 'none'))).rejects.toMatchObject({ code: 'CHECKPOINT_NOT_FOUND' });
    await saveModel(sequential(), directory);
    const weights = (await readdir(directory)).find((name) => name.endsWith('.bin'))!;
    await writeFile(join(directory, weights), Buffer.alloc(8));
    await expect(loadModel(directory)).rejects.toMatchObject({ code: 'CHECKPOINT_CORRUPT' });
    await rm(join(directory, weights));
    await expect(loadModel(directory)).rejects.toMatchObject({ code: 'CHECKPOINT_CORRUPT' });
    await writeFile(join(directory, 'model.json'), '{"modelTopology":{},"weightsManifest":[]}');
    await expect(loadModel(directory)).rejects.toMatchObject({ code: 'MODEL_UNSUPPORTED' });
    await writeFile(join(directory, 'model.json'), '{');
    await expect(loadModel(directory)).rejects.toMatchObject({ code: 'CHECKPOINT_CORRUPT' });
  });

  it('refuses a weights file outside the folder', async () => {
    const manifest = '[{"paths":["../secret"],"weights":[]}]';
    await writeFile(join(directory, 'model.json'), `{"modelTopology":{},"weightsManifest":${manifest}}`);
    await expect(loadModel(directory)).rejects.toMatchObject({ code: 'CHECKPOINT_CORRUPT' });
  });
});
