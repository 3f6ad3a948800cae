import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import type * as tf from '@tensorflow/tfjs';
import { beforeAll, describe, expect, it } from 'vitest';
import { lstmClassifier, mnistCnn, resnet20 } from '../../bench/models.js';
import type { Fingerprint } from '../../shared/fingerprint.js';
import { manifestOf } from '../../shared/manifest.js';
import { deriveSeed, Random } from '../../shared/random.js';
import type { HostTensor } from '../../shared/tensors.js';
import { loadBackend } from '../../worker/backend/select.js';
import { createProgram } from '../../worker/compute/create-program.js';
import { maskValue } from '../../worker/compute/layers/random-values.js';
import { torchExpected, torchPython } from '../fixtures/torch.mjs';
import { classes, normal, randomizeWeights, specOf } from '../unit/eager-fixture.js';

const program = fileURLToPath(new URL('../fixtures/torch-gradient.py', import.meta.url));
const loss = {
  kind: 'builtin',
  name: 'sparseCategoricalCrossentropy',
  params: { fromLogits: true },
} as const;
const seed = 7;
const rows = 2;

interface Case {
  readonly model: 'cnn' | 'resnet20' | 'lstm';
  readonly build: () => tf.LayersModel;
  readonly shape: readonly number[];
  /** What dropout masks: the only layer that draws. */
  readonly masked: { readonly shape: readonly number[]; readonly rate: number } | null;
}

const cases: readonly Case[] = [
  { model: 'cnn', build: mnistCnn, shape: [28, 28, 1], masked: { shape: [rows, 9216], rate: 0.25 } },
  { model: 'resnet20', build: () => resnet20(), shape: [32, 32, 3], masked: null },
  { model: 'lstm', build: lstmClassifier, shape: [12, 10], masked: null },
];

/** PyTorch's gradient by each weight, as one vector. */
function torchGradient(python: string, model: string, tensors: readonly HostTensor[]): Float32Array {
  const header = { model, tensors: tensors.map(({ dtype, shape }) => [dtype, shape]) };
  const bytes = tensors.map(({ data }) => Buffer.from(data.buffer, data.byteOffset, data.byteLength));
  const { status, stdout, stderr } = spawnSync(python, [program], {
    input: Buffer.concat([Buffer.from(`${JSON.stringify(header)}\n`), ...bytes]),
    maxBuffer: 2 ** 26,
  });
  if (status !== 0) throw new Error(`PyTorch computed no gradient: ${stderr}`);
  return new Float32Array(new Uint8Array(stdout).buffer);
}

const norm = (values: Float32Array): number =>
  Math.sqrt(values.reduce((sum, value) => sum + value * value, 0));

describe.runIf(torchExpected)('the compiled gradient', () => {
  let python: string;
  let fingerprint: Fingerprint;
  beforeAll(async () => {
    python = torchPython();
    ({ fingerprint } = await loadBackend({ backend: 'onnx', threads: 1 }));
    // Holds the model, and computes what a program's first shard is compared with: cpu would take half a minute.
    await loadBackend({ backend: 'wasm', threads: 1 });
  });

  it.each(cases)("of the $model is PyTorch's, weight by weight", async ({ model, build, shape, masked }) => {
    const built = build();
    // Small enough that no softmax is 0 or 1 to the last bit, where gradients vanish; and of a seed with which no relu's
    // input is so near 0 (2e-5 of their deviation) that rounding could decide what passes.
    const weights = randomizeWeights(built, 20).map((value) => value / 4);
    const manifest = manifestOf(built);
    const outputs = [{ name: 'output', loss, lossWeight: 1 }];
    const spec = specOf(built, { outputs, seed });
    const x = normal([rows, ...shape], 1);
    const y = classes([rows], 10, 2);

    const compiled = await createProgram(spec, new Map(), fingerprint);
    compiled.program.setWeights(weights);
    const task = { step: 0, shard: 0, batchRows: rows, data: { x: [x], y: [y], sampleWeights: [null] } };
    const { gradient } = await compiled.program.train(task);
    compiled.program.dispose();

    const trained = manifest.weights.filter(({ trainable }) => trainable);
    const tensors: HostTensor[] = trained.map(({ offset, size, shape: of }) => {
      return { dtype: 'float32', shape: of, data: weights.slice(offset, offset + size) };
    });
    const masks =
      masked === null ? [] : [maskValue({ kind: 'mask', layerSeed: null, ...masked }, drawsOfShard().next)];
    const expected = torchGradient(python, model, [...tensors, x, y, ...masks]);

    expect(expected.length).toBe(gradient.length);
    for (const { name, offset, size } of trained) {
      const own = expected.subarray(offset, offset + size);
      const difference = norm(own.map((value, i) => value - gradient[offset + i]));
      expect(norm(own), name).toBeGreaterThan(0);
      expect(difference / norm(own), name).toBeLessThan(1e-4);
    }
  });
});

/** The generator that shard 0 of step 0 draws from. */
function drawsOfShard(): Random {
  return new Random(deriveSeed(seed, 'shard', 0, 0));
}
