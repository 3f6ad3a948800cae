/**
 * One training shard, gradients in hand, compiled and op by op:
 * `npx tsx bench/compiled-step.ts [--model cnn|mlp] [--batch 64] [--backend onnx --backend tensorflow …] [--rounds N]`.
 * The models are the usual ones of MNIST: Conv32-BN-Conv64-Pool-Dropout-Dense128-Dense10, and 784-300-100-10. Every
 * backend computes in a process of its own, on one thread; they take turns, so that all meet the same machine.
 */

import { fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import type { ShardTask } from '../shared/program.js';
import { Random } from '../shared/random.js';
import { backendEnvironment } from '../worker/backend/environment.js';
import { type BackendName, loadBackend } from '../worker/backend/select.js';
import { createProgram } from '../worker/compute/create-program.js';
import { describeMachine } from './machine.js';
import { mnistCnn, mnistMlp } from './models.js';
import { describeMs, describeRatio } from './statistics.js';

const { values } = parseArgs({
  options: {
    model: { type: 'string', default: 'cnn' },
    batch: { type: 'string', default: '64' },
    backend: { type: 'string', multiple: true, default: ['onnx', 'tensorflow', 'wasm'] },
    rounds: { type: 'string', default: '6' },
    child: { type: 'boolean', default: false },
  },
});

const stepsPerTurn = 5;
const batchRows = Number(values.batch);

/** Times training shards of one backend, each time the parent asks. */
async function compute(backend: BackendName): Promise<void> {
  const { fingerprint } = await loadBackend({ backend, threads: 1 });
  const model = values.model === 'mlp' ? mnistMlp() : mnistCnn();
  const loss = {
    kind: 'builtin',
    name: 'sparseCategoricalCrossentropy',
    params: { fromLogits: true },
  } as const;
  const spec = {
    topology: model.toJSON(null, false),
    frozenLayers: [],
    outputs: [{ name: 'output', loss, lossWeight: 1 }],
    metrics: [],
    seed: 1,
  };
  const { program, manifest } = await createProgram(spec, new Map(), fingerprint);
  const random = new Random(1);
  program.setWeights(Float32Array.from({ length: manifest.totalSize }, () => 0.05 * random.normal()));
  const pixels = Float32Array.from({ length: batchRows * 784 }, random.next);
  const labels = Int32Array.from({ length: batchRows }, () => random.below(10));
  const data: ShardTask['data'] = {
    x: [{ dtype: 'float32', shape: [batchRows, 28, 28, 1], data: pixels }],
    y: [{ dtype: 'int32', shape: [batchRows], data: labels }],
    sampleWeights: [null],
  };
  let step = 0;
  process.on('message', async () => {
    const times: number[] = [];
    for (let i = -1; i < stepsPerTurn; i++) {
      const startMs = performance.now();
      await program.train({ step, shard: 0, batchRows, data });
      step += 1;
      if (i >= 0) times.push(performance.now() - startMs);
    }
    process.send?.(times);
  });
  process.send?.({ kernels: fingerprint.kernels, parameters: manifest.totalSize });
}

async function compare(): Promise<void> {
  console.log(describeMachine());
  const entry = fileURLToPath(import.meta.url);
  const env = { ...process.env, ...backendEnvironment(1) };
  const common = ['--child', '--model', values.model, '--batch', values.batch];
  const sides = await Promise.all(
    values.backend.map(async (backend) => {
      const child = fork(entry, [...common, '--backend', backend], { env });
      const [{ kernels }] = await once(child, 'message');
      return { name: `${backend} (${kernels})`, child, times: [] as number[] };
    }),
  );
  for (let round = 0; round < Number(values.rounds); round++) {
    for (const { child, times } of sides) {
      child.send('go');
      times.push(...((await once(child, 'message'))[0] as number[]));
    }
  }
  console.log(`\n${values.model}, batch ${batchRows}, milliseconds per shard`);
  for (const { name, times } of sides) console.log(describeMs(name, times));
  const [first, ...others] = sides;
  for (const other of others) {
    console.log(describeRatio(`${other.name} / ${first.name}`, other.times, first.times, null));
  }
  for (const { child } of sides) child.disconnect();
}

if (values.child) await compute(values.backend[0] as BackendName);
else await compare();
