// Prints, as JSON, the gradients of a small convolutional network on real TensorFlow, computed three times.
import * as tf from '@tensorflow/tfjs';
import { loadBackend } from '../../worker/backend/select.js';
import { gradientsOfSmallNet } from './small-net-gradient.js';

await loadBackend({ backend: 'tensorflow', threads: Number(process.argv[2]) });
const runs = [gradientsOfSmallNet(), gradientsOfSmallNet(), gradientsOfSmallNet()];
console.log(JSON.stringify({ backend: tf.getBackend(), runs }));
