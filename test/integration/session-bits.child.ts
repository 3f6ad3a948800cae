// Prints, as JSON, what the gradient of the MNIST CNN on 16 images comes to, computed again and again by a compiled
// step, and how the process grows while more programs are made, run and disposed.
//
//   session-bits.child.ts THREADS PROGRAMS

import { mnistShard, mnistSpec, mnistWeights } from '../../bench/mnist-shard.js';
import { digestOf } from '../../shared/digest.js';
import { bytesOf } from '../../shared/tensors.js';
import { loadBackend } from '../../worker/backend/select.js';
import { createProgram } from '../../worker/compute/create-program.js';

const [threads, programs] = process.argv.slice(2);
const { fingerprint } = await loadBackend({ backend: 'onnx:cpu', threads: Number(threads) });

async function gradients(times: number, rows: number): Promise<string[]> {
  const { program, manifest } = await createProgram(mnistSpec('cnn'), new Map(), fingerprint);
  program.setWeights(mnistWeights(manifest.totalSize));
  const found: string[] = [];
  for (let i = 0; i < times; i++) {
    const { gradient } = await program.train(mnistShard(rows));
    found.push(digestOf([bytesOf(gradient)]));
  }
  program.dispose();
  return found;
}

const digests = await gradients(5, 16);
const mebibytes: number[] = [];
for (let i = 0; i < Number(programs); i++) {
  await gradients(1, 16);
  mebibytes.push(process.memoryUsage.rss() / 2 ** 20);
}
console.log(JSON.stringify({ digests, threads: fingerprint.threads, mebibytes }));
