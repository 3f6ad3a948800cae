// Prints, as JSON, the gradients of a small convolutional network on real TensorFlow, computed three times.
//
//   tensorflow-gradient.child.ts THREADS [as-node-23]
import util from 'node:util';
import * as tf from '@tensorflow/tfjs';
import { loadBackend } from '../../worker/backend/select.js';
import { gradientsOfSmallNet } from './small-net-gradient.js';

const [threads, node] = process.argv.slice(2);
if (node === 'as-node-23')
  for (const name of ['isArray', 'isNullOrUndefined']) Reflect.deleteProperty(util, name);
await loadBackend({ backend: 'tensorflow', threads: Number(threads) });
const runs = [gradientsOfSmallNet(), gradientsOfSmallNet(), gradientsOfSmallNet()];
const refusal = await loadBackend({ backend: 'tensorflow', threads: Number(threads) + 1 }).catch(
  (error: Error) => error.message,
);
console.log(JSON.stringify({ backend: tf.getBackend(), runs, refusal }));
