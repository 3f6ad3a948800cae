import { createHash } from 'node:crypto';
import * as tf from '@tensorflow/tfjs';
import { invariant, LockstepError } from '../../shared/errors.js';
import type { Fingerprint } from '../../shared/fingerprint.js';
import { Random } from '../../shared/random.js';
import { bytesOf, sizeOf } from '../../shared/tensors.js';
import { OnnxGraph } from '../compute/compiled/onnx/onnx-graph.js';
import { loadRuntime, OnnxSession } from '../compute/compiled/onnx/runtime.js';
import type { Provider } from '../compute/compiled/onnx/runtime-package.js';
import { onnxFingerprint } from './fingerprint.js';
import { describeGpu, describeNvidiaGpu } from './gpu.js';
import { tryProvider } from './provider-process.js';

/**
 * Loads ONNX Runtime and has one of its providers compute products whose result is known. Another TensorFlow.js
 * backend becomes the current one: it holds models while their steps are traced, and computes what compiled results
 * are compared with. That is `wasm`, or `cpu` where it cannot be loaded.
 *
 * A GPU's provider is tried in a process of its own first, which a driver may bring down, and must give the same bits
 * there as here.
 * @param threads compute threads of the sessions
 * @throws LockstepError BACKEND_UNAVAILABLE
 */
export async function loadOnnx(provider: Provider, threads: number): Promise<Fingerprint> {
  loadRuntime(provider);
  await setReferenceBackend();
  const elsewhere = provider === 'cpu' ? null : await tryProvider(provider, threads);
  const bits = await providerBits(provider, threads);
  if (elsewhere !== null && elsewhere !== bits) {
    throw new LockstepError(
      'BACKEND_UNAVAILABLE',
      `onnx:${provider} gives other bits in another process: it cannot train on several workers`,
      { hint: 'Choose another backend with --backend, or leave the choice to auto.' },
    );
  }
  return onnxFingerprint(provider, threads, await deviceOf(provider));
}

async function deviceOf(provider: Provider): Promise<string | null> {
  if (provider === 'cpu') return null;
  return provider === 'cuda' ? describeNvidiaGpu() : describeGpu();
}

async function setReferenceBackend(): Promise<void> {
  try {
    const { loadWasmBackend } = await import('./wasm/load.js');
    await loadWasmBackend();
  } catch (error) {
    if (!(error instanceof LockstepError)) throw error;
    await tf.setBackend('cpu');
  }
}

/**
 * What a provider makes of a convolution and a matrix product, as SHA-256, after a product of small integers came out
 * right.
 * @throws LockstepError BACKEND_UNAVAILABLE
 */
export async function providerBits(provider: Provider, threads: number): Promise<string> {
  const wrong = await productIsWrong(provider, threads);
  if (wrong === null) return convolutionBits(provider, threads);
  throw new LockstepError('BACKEND_UNAVAILABLE', `onnx:${provider} does not work here: ${wrong}`, {
    hint: 'Choose another backend with --backend, or leave the choice to auto.',
  });
}

async function productIsWrong(provider: Provider, threads: number): Promise<string | null> {
  const expected = [58, 64, 139, 154];
  const graph = new OnnxGraph();
  const [a, b] = [graph.input('float32', [2, 3]), graph.input('float32', [3, 2])];
  const product = graph.output(graph.op('MatMul', [a, b]), 'float32', [2, 2]);
  const values = await outputOf(graph, product, { provider, threads }, [
    { name: a, shape: [2, 3], data: Float32Array.of(1, 2, 3, 4, 5, 6) },
    { name: b, shape: [3, 2], data: Float32Array.of(7, 8, 9, 10, 11, 12) },
  ]);
  const right = values.length === expected.length && expected.every((value, i) => value === values[i]);
  return right ? null : `a matrix product is [${Array.from(values)}], expected [${expected}]`;
}

async function convolutionBits(provider: Provider, threads: number): Promise<string> {
  const shapes = { image: [8, 16, 28, 28], filter: [32, 16, 3, 3], matrix: [26 * 26 * 32, 64] };
  const graph = new OnnxGraph();
  const [image, filter, matrix] = Object.values(shapes).map((shape) => graph.input('float32', shape));
  const rows = graph.op('Reshape', [
    graph.op('Conv', [image, filter], { pads: [0, 0, 0, 0], strides: [1, 1] }),
    graph.integers([8, -1]),
  ]);
  const product = graph.output(graph.op('MatMul', [rows, matrix]), 'float32', [8, 64]);
  const random = new Random(1);
  const values = await outputOf(
    graph,
    product,
    { provider, threads },
    [image, filter, matrix].map((name, index) => {
      const shape = Object.values(shapes)[index];
      return { name, shape, data: Float32Array.from({ length: sizeOf(shape) }, () => random.next() - 0.5) };
    }),
  );
  return createHash('sha256').update(bytesOf(values)).digest('hex');
}

async function outputOf(
  graph: OnnxGraph,
  output: string,
  { provider, threads }: { provider: Provider; threads: number },
  inputs: readonly { name: string; shape: readonly number[]; data: Float32Array }[],
): Promise<Float32Array> {
  const session = await OnnxSession.create(graph.encode('self-test'), threads, provider);
  try {
    const feeds = inputs.map(({ name, ...value }) => [name, session.tensor({ dtype: 'float32', ...value })]);
    const [values] = await session.run(Object.fromEntries(feeds), {}, [output]);
    invariant(values instanceof Float32Array, 'a float32 output');
    return values;
  } finally {
    await session.dispose();
  }
}
