import type { ShardTask } from '../../../shared/program.js';
import type { HostTensor } from '../../../shared/tensors.js';
import type { ShardStep } from '../shard-step.js';
import { listOf, type ShardValues, withList } from '../shard-values.js';
import { type EmittedStep, emitStep } from './emit.js';
import type { ShapeAndType, Value } from './graph.js';
import type { Provider } from './onnx/runtime-package.js';
import { type Traced, tracePrediction, traceShard } from './trace-step.js';

/** A step of one set of shapes as an ONNX graph, with all that is needed to run it: plain data. */
export interface WrittenStep extends Pick<EmittedStep, 'model' | 'weights' | 'fed'> {
  /** Per weight of the manifest: the name of its gradient, null if the step gives none. */
  readonly gradients: readonly (string | null)[];
}

export interface WrittenShard extends WrittenStep {
  /** The names of what is read. */
  readonly values: ShardValues<string>;
}

export interface WrittenPrediction extends WrittenStep {
  readonly outputs: readonly (ShapeAndType & { readonly name: string })[];
}

/** @throws CompileRefusal if the step cannot be a graph; LockstepError as the step itself */
export function writeShard(
  step: ShardStep,
  task: ShardTask,
  training: boolean,
  provider: Provider,
): WrittenShard {
  const traced = traceShard(step, task, training);
  const { written, names } = write(traced, traced.gradients, listOf(traced.values), provider);
  return { ...written, values: withList(traced.values, names) };
}

/** The same for the model's outputs in inference mode. */
export function writePrediction(
  step: ShardStep,
  x: readonly HostTensor[],
  provider: Provider,
): WrittenPrediction {
  const traced = tracePrediction(step, x);
  const { written, names } = write(traced, [], traced.outputs, provider);
  const outputs = traced.outputs.map(({ shape, dtype }, i) => ({ shape, dtype, name: names[i] }));
  return { ...written, outputs };
}

function write(
  traced: Traced,
  gradients: readonly (Value | null)[],
  read: readonly Value[],
  provider: Provider,
): { readonly written: WrittenStep; readonly names: readonly string[] } {
  const found = gradients.filter((gradient) => gradient !== null);
  const { model, weights, fed, outputs } = emitStep(traced, [...found, ...read], provider);
  const names = outputs.values();
  const ofGradients = gradients.map((gradient) => (gradient === null ? null : (names.next().value ?? null)));
  return { written: { model, weights, fed, gradients: ofGradients }, names: [...names] };
}
