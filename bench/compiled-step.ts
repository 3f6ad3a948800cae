/**
 * One training shard, gradients in hand, compiled, op by op and in PyTorch:
 * `npx tsx bench/compiled-step.ts [--model cnn|mlp] [--batch 64] [--backend onnx --backend tensorflow …]
 * [--peer pytorch --peer stock-wasm] [--python /usr/bin/python3] [--rounds N]`.
 * The models are the usual ones of MNIST: Conv32-BN-Conv64-Pool-Dropout-Dense128-Dense10, and 784-300-100-10. Every
 * side computes in a process of its own, on one thread; they take turns, so that all meet the same machine. PyTorch
 * (`apt-get install python3-torch libopenblas0-pthread`) is timed up to the gradients, and again with plain SGD.
 * Gradients are given back before the next shard, as a worker does with all but the first of what it adds up.
 * The peer `stock-wasm` is the wasm backend with its stock kernels, and ours only where it has none.
 */

import { type ChildProcess, fork, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import type { BackendName } from '../shared/backends.js';
import { LockstepError } from '../shared/errors.js';
import { backendEnvironment } from '../worker/backend/environment.js';
import { loadBackend } from '../worker/backend/select.js';
import { createProgram } from '../worker/compute/create-program.js';
import { answerOf, ask } from './ask.js';
import { describeMachine } from './machine.js';
import { type MnistModel, mnistShard, mnistSpec, mnistWeights } from './mnist-shard.js';
import { describeMs, describeRatio } from './statistics.js';
import { registerStockKernels } from './stock-wasm.js';

const { values } = parseArgs({
  options: {
    model: { type: 'string', default: 'cnn' },
    batch: { type: 'string', default: '64' },
    backend: { type: 'string', multiple: true },
    peer: { type: 'string', multiple: true, default: [] },
    python: { type: 'string', default: '/usr/bin/python3' },
    rounds: { type: 'string', default: '6' },
    child: { type: 'boolean', default: false },
  },
});

const stepsPerTurn = 5;
const batchRows = Number(values.batch);
/** Without --backend those of these that are installed. */
const usualBackends = ['onnx', 'tensorflow', 'wasm'];
const model: MnistModel = values.model === 'mlp' ? 'mlp' : 'cnn';

/** What a process says once it can compute, or cannot. */
type Started = { readonly kernels: string } | { readonly unavailable: string };

const stockWasm = 'stock-wasm';

/** Times training shards of one backend, each time the parent asks. */
async function compute(side: string): Promise<void> {
  const backend = side === stockWasm ? 'wasm' : (side as BackendName);
  const loaded = await loadBackend({ backend, threads: 1 }).catch((error: unknown) => {
    if (!(error instanceof LockstepError) || error.code !== 'BACKEND_UNAVAILABLE') throw error;
    return error;
  });
  if (loaded instanceof LockstepError) {
    const unavailable: Started = { unavailable: `${loaded.message}. ${loaded.hint}` };
    process.send?.(unavailable, () => process.exit(0));
    return;
  }
  if (side === stockWasm) registerStockKernels({ completed: true });
  const { fingerprint } = loaded;
  const { program, manifest } = await createProgram(mnistSpec(model), new Map(), fingerprint);
  program.setWeights(mnistWeights(manifest.totalSize));
  const task = mnistShard(batchRows);
  let step = 0;
  process.on('message', async () => {
    const times: number[] = [];
    for (let i = -1; i < stepsPerTurn; i++) {
      const startMs = performance.now();
      const { gradient } = await program.train({ ...task, step });
      step += 1;
      if (i >= 0) times.push(performance.now() - startMs);
      program.recycle?.(gradient);
    }
    process.send?.(times);
  });
  const started: Started = { kernels: fingerprint.kernels };
  process.send?.(started);
}

/** Somebody who computes the step a few times when asked. */
interface Side {
  readonly name: string;
  readonly times: number[];
  readonly turn: () => Promise<number[]>;
  readonly child: ChildProcess;
}

/** Null for a backend that is not installed and was not asked for by name. */
async function backendSide(backend: string): Promise<Side | null> {
  const env = { ...process.env, ...backendEnvironment(1) };
  const common = ['--child', '--model', model, '--batch', values.batch];
  const child = fork(fileURLToPath(import.meta.url), [...common, '--backend', backend], { env });
  const started = (await answerOf(child)) as Started;
  if ('unavailable' in started) {
    if (values.backend !== undefined) throw new Error(started.unavailable);
    console.log(`without ${backend}: ${started.unavailable}`);
    return null;
  }
  return { name: `${backend} (${started.kernels})`, times: [], turn: () => ask(child, 'go'), child };
}

/** @param mode `gradients`: forward and backward; `step`: with SGD */
async function pytorchSide(mode: 'gradients' | 'step'): Promise<Side> {
  const script = fileURLToPath(new URL('pytorch-step.py', import.meta.url));
  const env = { ...process.env, OMP_NUM_THREADS: '1', OPENBLAS_NUM_THREADS: '1' };
  const child = spawn(values.python, [script, model, values.batch, mode], {
    env,
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const answer = async () => {
    const { done, value } = await lines.next();
    if (done)
      throw new Error(`${values.python} ${script} ended instead of an answer; its own words are above`);
    return JSON.parse(value);
  };
  const { version } = await answer();
  const turn = async () => {
    child.stdin.write('\n');
    return (await answer()) as number[];
  };
  return { name: `pytorch ${version}, ${mode}`, times: [], turn, child };
}

async function compare(): Promise<void> {
  console.log(describeMachine());
  const peers = values.peer.flatMap((peer): Promise<Side | null>[] => {
    if (peer === stockWasm) return [backendSide(stockWasm)];
    if (peer !== 'pytorch') throw new Error(`no peer ${peer}`);
    return [pytorchSide('gradients'), pytorchSide('step')];
  });
  const backends = values.backend ?? usualBackends;
  const started = await Promise.all([...backends.map(backendSide), ...peers]);
  const sides = started.filter((side) => side !== null);
  for (let round = 0; round < Number(values.rounds); round++) {
    for (const { turn, times } of sides) times.push(...(await turn()));
  }
  console.log(`\n${model}, batch ${batchRows}, milliseconds per shard`);
  for (const { name, times } of sides) console.log(describeMs(name, times));
  const [first, ...others] = sides;
  for (const other of others) {
    console.log(describeRatio(`${first.name} / ${other.name}`, first.times, other.times, null));
  }
  for (const { child } of sides) child.kill();
}

if (values.child) await compute(values.backend?.[0] ?? '');
else await compare();
