// The process in which `lockstep doctor` tries one backend: a backend that crashes takes only this down.
//
//   node doctor-probe.js BACKEND THREADS
import * as tf from '@tensorflow/tfjs';
import { backendNames } from '../shared/backends.js';
import { InvariantError, LockstepError } from '../shared/errors.js';
import type { Fingerprint } from '../shared/fingerprint.js';
import type { FunctionRef, ProgramSpec } from '../shared/program.js';
import { Random } from '../shared/random.js';
import { loadBackend } from '../worker/backend/select.js';
import { OnnxGraph } from '../worker/compute/compiled/onnx/onnx-graph.js';
import { OnnxSession } from '../worker/compute/compiled/onnx/runtime.js';
import { type Provider, providerOf } from '../worker/compute/compiled/onnx/runtime-package.js';
import { createProgram } from '../worker/compute/create-program.js';
import type { Probe } from './doctor-report.js';

const batchSize = 32;
/** What would take longer is measured on less and scaled. */
const slowMs = 1_500;

/** The median of the durations of `repeats` runs, after one that warms up. */
async function medianMs(repeats: number, run: () => Promise<void>): Promise<number> {
  const durations: number[] = [];
  await run();
  for (let i = 0; i < repeats; i++) {
    const startMs = performance.now();
    await run();
    durations.push(performance.now() - startMs);
  }
  return durations.sort((a, b) => a - b)[Math.floor(durations.length / 2)];
}

/** Has the backend multiply a square matrix by itself, again and again; ends with `dispose`. */
interface Multiplication {
  run(): Promise<void>;
  dispose(): Promise<void>;
}

function multiplyOpByOp(size: number): Multiplication {
  const matrix = tf.fill([size, size], 0.5);
  return {
    async run() {
      const product = tf.matMul(matrix, matrix);
      await product.data();
      product.dispose();
    },
    async dispose() {
      matrix.dispose();
    },
  };
}

async function multiplyCompiled(size: number, threads: number, provider: Provider): Promise<Multiplication> {
  const graph = new OnnxGraph();
  const shape = [size, size];
  const input = graph.input('float32', shape);
  const product = graph.output(graph.op('MatMul', [input, input]), 'float32', shape);
  const session = await OnnxSession.create(graph.encode('doctor'), threads, provider);
  const matrix = session.tensor({ dtype: 'float32', shape, data: new Float32Array(size * size).fill(0.5) });
  return {
    run: async () => void (await session.run({ [input]: matrix }, {}, [product])),
    dispose: () => session.dispose(),
  };
}

/** Billions of operations per second in a product of 1024 × 1024 matrices; of 256 × 256 ones where that is slow. */
async function measureMatMul({ backend, threads }: Fingerprint): Promise<number> {
  const provider = providerOf(backend);
  const operations = (size: number) => 2 * size ** 3;
  const measureMs = async (size: number, repeats: number) => {
    const own = provider === null ? multiplyOpByOp(size) : await multiplyCompiled(size, threads, provider);
    const ms = await medianMs(repeats, own.run);
    await own.dispose();
    return ms;
  };
  const smallMs = await measureMs(256, 3);
  if ((smallMs * operations(1024)) / operations(256) > slowMs) return operations(256) / (smallMs * 1e6);
  return operations(1024) / ((await measureMs(1024, 5)) * 1e6);
}

function buildDigitsCnn(): tf.LayersModel {
  const { conv2d, batchNormalization, activation, maxPooling2d, flatten, dense } = tf.layers;
  const model = tf.sequential({
    layers: [
      conv2d({ inputShape: [28, 28, 1], filters: 32, kernelSize: 3, useBias: false }),
      batchNormalization(),
      activation({ activation: 'relu' }),
      conv2d({ filters: 64, kernelSize: 3, activation: 'relu' }),
      maxPooling2d({ poolSize: 2 }),
      flatten(),
      dense({ units: 128, activation: 'relu' }),
      dense({ units: 10, activation: 'softmax' }),
    ],
  });
  return model;
}

const loss: FunctionRef = { kind: 'builtin', name: 'categoricalCrossentropy', params: {} };

async function measureStep(fingerprint: Fingerprint): Promise<{ stepMs: number; stepIsEstimate: boolean }> {
  const spec: ProgramSpec = {
    topology: buildDigitsCnn().toJSON(null, false),
    frozenLayers: [],
    outputs: [{ name: 'output', loss, lossWeight: 1 }],
    metrics: [],
    seed: 0,
  };
  const { program, manifest } = await createProgram(spec, new Map(), fingerprint);
  const random = new Random(0);
  program.setWeights(Float32Array.from({ length: manifest.totalSize }, () => 0.1 * random.next()));
  const stepOn = async (rows: number): Promise<void> => {
    const pixels = Float32Array.from({ length: rows * 28 * 28 }, random.next);
    const labels = new Float32Array(rows * 10);
    for (let row = 0; row < rows; row++) labels[10 * row + random.below(10)] = 1;
    const x = [{ dtype: 'float32', shape: [rows, 28, 28, 1], data: pixels }] as const;
    const y = [{ dtype: 'float32', shape: [rows, 10], data: labels }] as const;
    await program.train({ step: 0, shard: 0, batchRows: rows, data: { x, y, sampleWeights: [null] } });
  };
  // The first shard of a compiled step is compared with the eager one's.
  if (providerOf(fingerprint.backend) !== null) await stepOn(2);
  const startMs = performance.now();
  await stepOn(2);
  const rowMs = (performance.now() - startMs) / 2;
  if (rowMs * batchSize > 4 * slowMs) return { stepMs: rowMs * batchSize, stepIsEstimate: true };
  return { stepMs: await medianMs(3, () => stepOn(batchSize)), stepIsEstimate: false };
}

async function probe(name: string, threads: number): Promise<Probe> {
  const backend = backendNames.find((known) => known === name);
  if (backend === undefined) throw new InvariantError(`doctor asked for the backend ${name}`);
  try {
    const { fingerprint } = await loadBackend({ backend, threads });
    const gigaflopsPerSecond = await measureMatMul(fingerprint);
    return { works: true, fingerprint, gigaflopsPerSecond, ...(await measureStep(fingerprint)) };
  } catch (error) {
    if (!(error instanceof LockstepError)) throw error;
    return { works: false, reason: error.message, hint: error.hint };
  }
}

const [name, threads] = process.argv.slice(2);
process.send?.(await probe(name, Number(threads)), () => process.exit(0));
