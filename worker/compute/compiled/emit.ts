import { invariant } from '../../../shared/errors.js';
import type { FedSource } from '../fed.js';
import { emitterVersion } from './emitter-version.js';
import type { KernelCall, Value } from './graph.js';
import { mappingFor } from './kernels/table.js';
import { Lowering } from './lowering.js';
import { OnnxGraph } from './onnx/onnx-graph.js';
import type { Provider } from './onnx/runtime-package.js';

/** A step as an ONNX file, and which of its inputs and outputs is what. */
export interface EmittedStep {
  readonly model: Uint8Array;
  readonly nodes: number;
  /** Those that the graph needs, by index in the manifest. */
  readonly weights: readonly { readonly index: number; readonly name: string }[];
  /** All that a shard feeds, in order; null for what the graph does not need. */
  readonly fed: readonly {
    readonly source: FedSource;
    readonly shape: readonly number[];
    readonly name: string | null;
  }[];
  /** One per wanted value, in order. */
  readonly outputs: readonly string[];
}

/**
 * Writes what `wanted` needs as an ONNX graph; what it does not need is left out, such as the gradient of a model's
 * input, which TensorFlow.js always computes.
 * @param provider for which it is written
 */
export function emitStep(
  traced: {
    readonly calls: readonly KernelCall[];
    readonly fed: readonly { readonly source: FedSource; readonly value: Value }[];
    readonly weights: readonly Value[];
  },
  wanted: readonly Value[],
  provider: Provider = 'cpu',
): EmittedStep {
  const { live, used, consumers } = needsOf(traced.calls, wanted);
  const onnx = new OnnxGraph();
  const lowering = new Lowering(onnx, consumers, new Set(wanted));
  const input = (value: Value): string | null => {
    if (!used.has(value)) return null;
    const name = onnx.input(value.dtype, value.shape);
    lowering.set(value, name, { physical: value.shape });
    return name;
  };
  const weights = traced.weights.flatMap((value, index) => {
    const name = input(value);
    return name === null ? [] : [{ index, name }];
  });
  const fed = traced.fed.map(({ source, value }) => ({ source, shape: value.shape, name: input(value) }));
  for (const call of traced.calls) {
    if (!live.has(call) || call.outputs.every((output) => lowering.has(output))) continue;
    const mapping = mappingFor(call.kernel, provider);
    invariant(mapping !== undefined, `no mapping of ${call.kernel}`);
    mapping.emit(call, lowering);
  }
  const outputs = wanted.map((value) => onnx.output(lowering.full(value), value.dtype, value.shape));
  return { model: onnx.encode(String(emitterVersion)), nodes: onnx.size, weights, fed, outputs };
}

/** From the last call to the first: who is needed, and by whom. */
function needsOf(calls: readonly KernelCall[], wanted: readonly Value[]) {
  const used = new Set<Value>(wanted);
  const live = new Set<KernelCall>();
  const consumers = new Map<Value, KernelCall[]>();
  for (const call of calls.toReversed()) {
    if (!call.outputs.some((output) => used.has(output))) continue;
    live.add(call);
    for (const value of Object.values(call.inputs)) {
      used.add(value);
      consumers.set(value, [...(consumers.get(value) ?? []), call]);
    }
  }
  return { live, used, consumers };
}
