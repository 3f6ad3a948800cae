import type { JobFunctions } from '../../../shared/job-functions.js';
import type { ProgramSpec, ShardTask } from '../../../shared/program.js';
import { buildModel } from '../build-model.js';
import { ShardStep } from '../shard-step.js';
import { listOf } from '../shard-values.js';
import { emitStep } from './emit.js';
import { OnnxSession } from './onnx/runtime.js';
import type { Provider } from './onnx/runtime-package.js';
import { traceShard } from './trace-step.js';

/** What it takes to compile the training step of one set of shapes. */
export interface CompileCost {
  readonly traceMs: number;
  readonly emitMs: number;
  readonly sessionMs: number;
  /** Operators of the graph, before ONNX Runtime fuses some. */
  readonly operators: number;
}

/** Compiles a shard's training step once more, in a process that has compiled before. @throws CompileRefusal */
export async function measureCompilation({
  spec,
  functions,
  task,
  threads,
  provider,
}: {
  spec: ProgramSpec;
  functions: JobFunctions;
  task: ShardTask;
  threads: number;
  provider: Provider;
}): Promise<CompileCost> {
  const { model, manifest } = await buildModel(spec);
  const step = new ShardStep(spec, functions, model, manifest);
  const marks = [performance.now()];
  const traced = traceShard(step, task, true);
  marks.push(performance.now());
  const gradients = traced.gradients.filter((gradient) => gradient !== null);
  const emitted = emitStep(traced, [...gradients, ...listOf(traced.values)]);
  marks.push(performance.now());
  const session = await OnnxSession.create(emitted.model, threads, provider);
  marks.push(performance.now());
  await session.dispose();
  step.dispose();
  const [traceMs, emitMs, sessionMs] = marks.slice(1).map((at, i) => at - marks[i]);
  return { traceMs, emitMs, sessionMs, operators: emitted.nodes };
}
