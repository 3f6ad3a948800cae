import * as tf from '@tensorflow/tfjs';
import { Random } from '../../shared/random.js';
import { type HostTensor, sizeOf, type TensorData } from '../../shared/tensors.js';
import { emitStep } from '../../worker/compute/compiled/emit.js';
import type { Value } from '../../worker/compute/compiled/graph.js';
import { OnnxSession } from '../../worker/compute/compiled/onnx/runtime.js';
import type { Provider } from '../../worker/compute/compiled/onnx/runtime-package.js';
import { traceBackend } from '../../worker/compute/compiled/register.js';
import { Recorder } from '../../worker/compute/compiled/trace-backend.js';
import type { FedSource, FedValue } from '../../worker/compute/fed.js';

/** What the kernels are compiled for: the processor, unless LOCKSTEP_TEST_PROVIDER names another (docs/backends.md). */
const provider = (process.env.LOCKSTEP_TEST_PROVIDER ?? 'cpu') as Provider;

export type Compute = (...inputs: tf.Tensor[]) => tf.Tensor | tf.Tensor[];

export interface Results {
  readonly shape: readonly number[];
  readonly dtype: string;
  readonly data: TensorData;
}

const listOf = (result: tf.Tensor | tf.Tensor[]): tf.Tensor[] => (Array.isArray(result) ? result : [result]);

/** On the cpu backend of TensorFlow.js. */
export function eagerly(compute: Compute, inputs: readonly HostTensor[]): Results[] {
  const outputs = tf.tidy(() => listOf(compute(...inputs.map(upload))));
  const results = outputs.map((tensor) => ({
    shape: tensor.shape,
    dtype: tensor.dtype,
    data: tensor.dataSync() as TensorData,
  }));
  tf.dispose(outputs);
  return results;
}

const upload = ({ data, shape, dtype }: HostTensor): tf.Tensor =>
  tf.tensor(data, [...shape], dtype as 'float32' | 'int32' | 'bool');

/** Traced, emitted and run by ONNX Runtime; `kernels` gets the names of the kernels that the graph needed. */
export async function compiled(
  compute: Compute,
  inputs: readonly HostTensor[],
  kernels: Set<string>,
): Promise<Results[]> {
  const backend = traceBackend();
  const recorder = new Recorder();
  const source: FedSource = { kind: 'x', input: 0 };
  const symbols = inputs.map(({ shape, dtype }): Value => {
    return { shape, dtype: dtype as FedValue['dtype'], origin: { kind: 'fed', source } };
  });
  const tensors = symbols.map((symbol) => {
    const { shape, dtype } = symbol;
    return tf.engine().makeTensorFromDataId(backend.symbol(symbol), [...shape], dtype, backend);
  });
  const wanted = backend.record(recorder, () => {
    const outputs = tf.tidy(() => listOf(compute(...tensors)));
    return outputs.map((tensor) => backend.symbolised(tensor));
  });
  const fed = symbols.map((value) => ({ source, value }));
  const emitted = emitStep({ calls: recorder.calls, fed, weights: [] }, wanted, provider);
  for (const { kernel } of recorder.calls) kernels.add(kernel);
  const session = await OnnxSession.create(emitted.model, 1, provider);
  const feeds = emitted.fed.flatMap(({ name }, i) =>
    name === null ? [] : [[name, session.tensor(inputs[i] as FedValue)] as const],
  );
  const read = await session.run(Object.fromEntries(feeds), {}, emitted.outputs);
  await session.dispose();
  return read.map((data, i) => ({ shape: wanted[i].shape, dtype: wanted[i].dtype, data }));
}

/** `compute`'s value and its gradient by each float32 input, for slopes that are the last input. */
export function withGradients(compute: (...inputs: tf.Tensor[]) => tf.Tensor, floats: number): Compute {
  return (...given) => {
    const slope = given[given.length - 1];
    const rest = given.slice(floats, -1);
    const differentiated = (...xs: tf.Tensor[]) => compute(...xs, ...rest);
    const { value, grads } = tf.valueAndGrads(differentiated)(given.slice(0, floats), slope);
    return [value, ...grads];
  };
}

export type Range = 'normal' | 'positive' | 'unit' | 'aboveOne';

/** Values that no function of a kernel is undefined or steep for. */
export function values(shape: readonly number[], seed: number, range: Range = 'normal'): HostTensor {
  const random = new Random(seed);
  const draw = {
    normal: () => random.normal(),
    positive: () => 0.2 + 2 * random.next(),
    unit: () => 1.8 * random.next() - 0.9,
    aboveOne: () => 1.1 + random.next(),
  }[range];
  return { dtype: 'float32', shape, data: Float32Array.from({ length: sizeOf(shape) }, draw) };
}

export function integers(shape: readonly number[], seed: number, below: number): HostTensor {
  const random = new Random(seed);
  const data = Int32Array.from({ length: sizeOf(shape) }, () => random.below(below));
  return { dtype: 'int32', shape, data };
}

export function booleans(shape: readonly number[], seed: number): HostTensor {
  const { data } = integers(shape, seed, 2);
  return { dtype: 'bool', shape, data: Uint8Array.from(data) };
}

/** The largest difference relative to the largest expected value; 0 for values that are alike and not finite. */
export function distance(actual: ArrayLike<number>, expected: ArrayLike<number>): number {
  if (actual.length !== expected.length) return Number.POSITIVE_INFINITY;
  let largest = 0;
  let scale = 1e-3;
  for (let i = 0; i < actual.length; i++) {
    if (Object.is(actual[i], expected[i])) continue;
    const difference = Math.abs(actual[i] - expected[i]);
    if (!(difference <= largest)) largest = Number.isNaN(difference) ? Number.POSITIVE_INFINITY : difference;
  }
  for (let i = 0; i < expected.length; i++) scale = Math.max(scale, Math.abs(expected[i]));
  return largest / scale;
}
