/**
 * Whole training steps against PyTorch's: `npx tsx bench/ddp.ts --peer DDP_STEP.PY [--case cnn …] [--rounds N]`.
 *
 * - `cnn`: two workers, global batch 128, through the coordinator, against DDP with two processes
 * - `mlp`: the same of the MLP at batch 512
 * - `mlp-alone`: the MLP at batch 128 in one process each
 *
 * SGD and one thread per process on both sides. The peer computes on one batch that it holds; ours fetches and sends one
 * per step, images as bytes. They take turns: one run of the peer's script, which prints the mean of
 * 30 steps, and 30 steps of ours; the workers wait meanwhile. Run `npm run build` first. The peer's script is named by
 * --peer or LOCKSTEP_PEER, a Python that has PyTorch by LOCKSTEP_PYTHON.
 */

import { fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { Cluster, losses } from 'lockstep';
import { backendEnvironment } from '../worker/backend/environment.js';
import { answerOf, ask } from './ask.js';
import { describeMachine } from './machine.js';
import { mnistShard } from './mnist-shard.js';
import { mnistCnn, mnistMlp } from './models.js';
import { Peer } from './peer.js';
import { describeMs, describeRatio } from './statistics.js';
import { timedSteps } from './timed-steps.js';

const steps = 30;

const { values } = parseArgs({
  options: {
    peer: { type: 'string' },
    case: { type: 'string', multiple: true, default: ['cnn', 'mlp', 'mlp-alone'] },
    backend: { type: 'string', default: 'onnx' },
    rounds: { type: 'string', default: '5' },
  },
});
const backend = values.backend as 'onnx' | 'tensorflow' | 'wasm' | 'cpu';

/** Whoever takes steps when asked, and gives what each took, in milliseconds. */
interface Stepper {
  readonly step: () => Promise<number[]>;
  readonly close: () => Promise<void> | void;
}

async function distributed(model: 'cnn' | 'mlp', batchSize: number): Promise<Stepper> {
  const cluster = await Cluster.local({ backend, workers: 2 });
  const built = model === 'cnn' ? mnistCnn() : mnistMlp();
  built.compile({ optimizer: 'sgd', loss: 'sparseCategoricalCrossentropy' });
  const { x, y } = mnistShard((steps + 1) * batchSize).data;
  // As MNIST is stored; 0 and 1 alone, so that the model, which does not scale them, stays finite.
  const images = { ...x[0], dtype: 'uint8' as const, data: Uint8Array.from(x[0].data, Math.round) };
  const loss = losses.sparseCategoricalCrossentropy({ fromLogits: true });
  const options = { batchSize, shards: 2, steps, loss };
  return {
    step: () => timedSteps(cluster, built, { x: images, y: y[0] }, options),
    close: () => cluster.close(),
  };
}

async function alone(batch: number): Promise<Stepper> {
  const entry = fileURLToPath(new URL('single-process.ts', import.meta.url));
  const env = { ...process.env, ...backendEnvironment(1) };
  const child = fork(entry, [backend, String(batch)], { env });
  await answerOf(child);
  return {
    step: () => ask(child, steps),
    close: () => child.disconnect(),
  };
}

const cases = {
  cnn: { peer: { model: 'cnn', world: 2, batch: 128 }, ours: () => distributed('cnn', 128), atLeast: 1.2 },
  mlp: { peer: { model: 'mlp', world: 2, batch: 512 }, ours: () => distributed('mlp', 512), atLeast: 1 },
  'mlp-alone': { peer: { model: 'mlp', world: 1, batch: 128 }, ours: () => alone(128), atMost: 1.3 },
} as const;

const mean = (times: readonly number[]): number => times.reduce((sum, ms) => sum + ms, 0) / times.length;

console.log(describeMachine());
const peer = Peer.at(values.peer ?? null);
for (const name of values.case as (keyof typeof cases)[]) {
  const { ours, ...compared } = cases[name];
  const { model, world, batch } = compared.peer;
  const stepper = await ours();
  // As the peer's script warms up.
  await stepper.step();
  const peerMs: number[] = [];
  const oursMs: number[] = [];
  for (let round = 0; round < Number(values.rounds); round++) {
    peerMs.push((await peer.run(compared.peer)).stepMs);
    oursMs.push(mean(await stepper.step()));
  }
  await stepper.close();
  const processes = world === 1 ? 'one process' : `${world} processes`;
  console.log(
    `\n${model}, global batch ${batch}, ${processes} each, means of ${steps} steps in milliseconds`,
  );
  console.log(describeMs(world === 1 ? 'PyTorch' : 'PyTorch DDP', peerMs));
  console.log(describeMs(`ours, ${backend}`, oursMs));
  if ('atMost' in compared) console.log(describeRatio("our step / PyTorch's", oursMs, peerMs, compared));
  else console.log(describeRatio("our samples/s / DDP's", peerMs, oursMs, compared));
}
