import * as tf from '@tensorflow/tfjs';
import { layersOf } from '../../../shared/manifest.js';
import type { ShardTask } from '../../../shared/program.js';
import type { HostTensor } from '../../../shared/tensors.js';
import { type FedSource, type Feeder, feedingBy } from '../fed.js';
import type { Owned, ShardStep } from '../shard-step.js';
import { listOf, type ShardValues, withList } from '../shard-values.js';
import type { KernelCall, Value } from './graph.js';
import { CompileRefusal } from './refusal.js';
import { traceBackend } from './register.js';
import { Recorder, type TraceBackend } from './trace-backend.js';

export interface Traced {
  /** In the order in which they ran. */
  readonly calls: readonly KernelCall[];
  /** What a shard feeds, in the order in which the step asks for it: masks in the order of their draws. */
  readonly fed: readonly { readonly source: FedSource; readonly value: Value }[];
  /** Per weight of the manifest. */
  readonly weights: readonly Value[];
}

export interface TracedShard extends Traced {
  readonly values: ShardValues<Value>;
  readonly gradients: readonly (Value | null)[];
}

export interface TracedPrediction extends Traced {
  readonly outputs: readonly Value[];
}

/**
 * Runs a shard's step once with symbols for its tensors. The graph holds for every shard of the same shapes.
 * @throws CompileRefusal if the step cannot be a graph; LockstepError as the step itself
 */
export function traceShard(step: ShardStep, task: ShardTask, training: boolean): TracedShard {
  return trace(step, (backend, owned) => {
    const { values, gradients } = step.compute(task, training, owned);
    const symbols = listOf(values).map((tensor) => backend.symbolised(tensor));
    return {
      values: withList(values, symbols),
      gradients: gradients.map((tensor) => (tensor === null ? null : backend.symbolised(tensor))),
    };
  });
}

/** The same for the model's outputs in inference mode. */
export function tracePrediction(step: ShardStep, x: readonly HostTensor[]): TracedPrediction {
  return trace(step, (backend, owned) => {
    const outputs = step.predict(x);
    owned.push(...outputs);
    return { outputs: outputs.map((tensor) => backend.symbolised(tensor)) };
  });
}

function trace<T extends object>(
  step: ShardStep,
  run: (backend: TraceBackend, owned: Owned) => T,
): T & Traced {
  const backend = traceBackend();
  const recorder = new Recorder();
  const fed: { source: FedSource; value: Value }[] = [];
  const feeder: Feeder = (source, value) => {
    // What is drawn is not drawn for the trace.
    const drawn = source.kind === 'mask' || source.kind === 'noise';
    const { shape, dtype } = drawn ? ({ ...source, dtype: 'float32' } as const) : value();
    const symbol: Value = { shape: [...shape], dtype, origin: { kind: 'fed', source } };
    fed.push({ source, value: symbol });
    const dataId = backend.symbol(symbol);
    return tf.engine().makeTensorFromDataId(dataId, [...shape], dtype, backend);
  };
  const weights = step.manifest.weights.map(
    ({ shape }, index): Value => ({ shape, dtype: 'float32', origin: { kind: 'weight', index } }),
  );
  const owned: Owned = [];
  const compute = () =>
    withSymbols(
      step.variables,
      weights.map((value) => backend.symbol(value)),
      () =>
        withLayerNames(step, recorder, () =>
          withoutRandom(recorder, () => feedingBy(feeder, () => run(backend, owned))),
        ),
    );
  try {
    const result = backend.record(recorder, compute);
    return { ...result, calls: recorder.calls, fed, weights };
  } finally {
    for (const resource of owned) resource.dispose();
    step.forget();
  }
}

/** Runs with other data behind the variables, and puts theirs back. */
function withSymbols<T>(variables: readonly tf.Variable[], symbols: readonly object[], run: () => T): T {
  const data = variables.map(({ dataId }) => dataId);
  variables.forEach((variable, index) => {
    variable.dataId = symbols[index];
  });
  try {
    return run();
  } finally {
    variables.forEach((variable, index) => {
      variable.dataId = data[index];
    });
  }
}

/** Runs with the recorder knowing which layer's `call` is under way. */
function withLayerNames<T>(step: ShardStep, recorder: Recorder, run: () => T): T {
  const named = layersOf(step.model).filter(({ layer }) => !('layers' in layer));
  for (const { layer, path } of named) {
    const call = layer.call.bind(layer);
    layer.call = (inputs, kwargs) => {
      const outer = recorder.layer;
      recorder.layer = path;
      const result = call(inputs, kwargs);
      recorder.layer = outer;
      return result;
    };
  }
  try {
    return run();
  } finally {
    // The method of the class shows again.
    for (const { layer } of named) Reflect.deleteProperty(layer, 'call');
  }
}

/** Random numbers of the trace would be those of every step: all that a step may draw is what it is fed. */
function withoutRandom<T>(recorder: Recorder, run: () => T): T {
  const original = Math.random;
  Math.random = () => {
    throw new CompileRefusal('the step draws random numbers of its own', recorder);
  };
  try {
    return run();
  } finally {
    Math.random = original;
  }
}
