// Predicts with a saved model by TensorFlow.js alone: nothing of Lockstep is imported, its files are read by hand.
//
//   plain-tfjs.child.ts FOLDER INPUTS.json PREDICTIONS
//
// INPUTS.json lists the model's inputs as { shape, file }, the file holding float32; so will PREDICTIONS.
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import * as tf from '@tensorflow/tfjs';
import '@tensorflow/tfjs-backend-wasm';

interface Input {
  readonly shape: readonly number[];
  readonly file: string;
}

async function bytesOf(file: string): Promise<ArrayBuffer> {
  // A copy of its own, so that it is aligned.
  return new Uint8Array(await readFile(file)).buffer;
}

async function loadModel(folder: string): Promise<tf.LayersModel> {
  const { modelTopology, weightsManifest } = JSON.parse(await readFile(join(folder, 'model.json'), 'utf8'));
  const [{ paths, weights }] = weightsManifest;
  const weightData = await bytesOf(join(folder, paths[0]));
  return tf.loadLayersModel({ load: async () => ({ modelTopology, weightSpecs: weights, weightData }) });
}

const [folder, inputsFile, predictionsFile] = process.argv.slice(2);
await tf.setBackend('wasm');
const model = await loadModel(folder);
const inputs = JSON.parse(await readFile(inputsFile, 'utf8')) as Input[];
const tensors = await Promise.all(
  inputs.map(async ({ shape, file }) => tf.tensor(new Float32Array(await bytesOf(file)), [...shape])),
);
const predictions = model.predict(tensors, { batchSize: 100 }) as tf.Tensor;
await writeFile(predictionsFile, await predictions.data());
