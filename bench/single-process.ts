/**
 * Trains the MLP in one process, without a coordinator: the gradient of the whole batch as one shard, the update, the
 * next weights. Started by ddp.ts, which asks for so many steps at a time.
 */
import { ModelState } from '../coordinator/loop/model-state.js';
import { sgd } from '../coordinator/optimizer/configs.js';
import type { BackendName } from '../shared/backends.js';
import { loadBackend } from '../worker/backend/select.js';
import { createProgram } from '../worker/compute/create-program.js';
import { mnistShard, mnistSpec, mnistWeights } from './mnist-shard.js';

const [backend, batch] = process.argv.slice(2);

const { fingerprint } = await loadBackend({ backend: backend as BackendName, threads: 1 });
const { program, manifest } = await createProgram(mnistSpec('mlp'), new Map(), fingerprint);
const state = new ModelState({
  manifest,
  flat: mnistWeights(manifest.totalSize),
  optimizer: sgd({ learningRate: 0.01 }),
  constraints: [],
});
const task = mnistShard(Number(batch));
let step = 0;

async function train(): Promise<void> {
  program.setWeights(state.weights.flat);
  const partial = await program.train({ ...task, step });
  state.step(partial, 0);
  program.recycle?.(partial.gradient);
  step += 1;
}

process.on('message', async (steps: number) => {
  await train();
  const times: number[] = [];
  for (let i = 0; i < steps; i++) {
    const startMs = performance.now();
    await train();
    times.push(performance.now() - startMs);
  }
  process.send?.(times);
});
process.send?.('ready');
