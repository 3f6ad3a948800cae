/**
 * What a worker takes, against PyTorch: `npx tsx bench/worker-memory.ts --peer DDP_STEP.PY [--backend onnx]`.
 * The largest resident set of a worker process that trains the MNIST CNN at batch 64 in one shard, everything since its
 * start included, against that of PyTorch's process for the same steps without DDP. Linux. Run `npm run build` first;
 * bench/ddp.ts tells how the peer is named.
 */

import { readFile } from 'node:fs/promises';
import { parseArgs } from 'node:util';
import { Cluster, losses } from 'lockstep';
import { describeMachine } from './machine.js';
import { mnistShard } from './mnist-shard.js';
import { mnistCnn } from './models.js';
import { Peer } from './peer.js';
import { timedSteps } from './timed-steps.js';

const target = 1.3;
const mebibyte = 2 ** 20;
/** As many as the peer's script takes, those to warm up included. */
const steps = 34;

const { values } = parseArgs({
  options: {
    peer: { type: 'string' },
    backend: { type: 'string', default: 'onnx' },
    batch: { type: 'string', default: '64' },
  },
});
const batchSize = Number(values.batch);

async function peakOfWorker(): Promise<number> {
  let pid = 0;
  // Workers would inherit the loader that this program is run with.
  process.execArgv = [];
  const cluster = await Cluster.local({
    backend: values.backend as 'onnx' | 'tensorflow' | 'wasm',
    workers: 1,
    onEvent(event) {
      if (event.type === 'worker-joined') pid = event.worker.pid;
    },
  });
  const model = mnistCnn();
  model.compile({ optimizer: 'sgd', loss: 'sparseCategoricalCrossentropy' });
  const { x, y } = mnistShard((steps + 1) * batchSize).data;
  const loss = losses.sparseCategoricalCrossentropy({ fromLogits: true });
  await timedSteps(cluster, model, { x: x[0], y: y[0] }, { batchSize, shards: 1, steps, loss });
  const [, kibibytes] = /^VmHWM:\s+(\d+) kB$/m.exec(await readFile(`/proc/${pid}/status`, 'utf8')) ?? [];
  await cluster.close();
  return Number(kibibytes) * 1024;
}

console.log(describeMachine());
const peer = Peer.at(values.peer ?? null);
const theirs = (await peer.run({ model: 'cnn', world: 1, batch: batchSize })).peakBytes;
const ours = await peakOfWorker();
const ratio = ours / theirs;
console.log(`\nCNN, batch ${batchSize}, largest resident set`);
console.log(`PyTorch's process     ${(theirs / mebibyte).toFixed(0)} MiB`);
console.log(`our worker, ${values.backend.padEnd(9)} ${(ours / mebibyte).toFixed(0)} MiB`);
console.log(
  `worker / PyTorch: ${ratio.toFixed(2)} (target at most ${target}: ${ratio <= target ? 'met' : 'missed'})`,
);
