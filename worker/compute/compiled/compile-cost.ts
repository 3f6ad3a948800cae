import type { JobFunctions } from '../../../shared/job-functions.js';
import type { ProgramSpec, ShardTask } from '../../../shared/program.js';
import { buildModel } from '../build-model.js';
import { ShardStep } from '../shard-step.js';
import { listOf } from '../shard-values.js';
import { emitStep } from './emit.js';
import { KeptSteps } from './kept-steps.js';
import { OnnxSession } from './onnx/runtime.js';
import type { Provider } from './onnx/runtime-package.js';
import type { StepFolder } from './step-folder.js';
import { shardKey } from './step-key.js';
import { traceShard } from './trace-step.js';

/** What it takes to compile the training step of one set of shapes. */
export interface CompileCost {
  readonly traceMs: number;
  readonly emitMs: number;
  readonly sessionMs: number;
  /** What reading the graph takes where an earlier run has left it in a file; null if none has, or never will. */
  readonly readMs: number | null;
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
  folder,
}: {
  spec: ProgramSpec;
  functions: JobFunctions;
  task: ShardTask;
  threads: number;
  provider: Provider;
  /** Where steps are kept in files; null if they are not. */
  folder: StepFolder | null;
}): Promise<CompileCost> {
  const { model, manifest } = await buildModel(spec);
  const step = new ShardStep(spec, functions, model, manifest);
  const startMs = performance.now();
  const kept = folder === null ? null : new KeptSteps(folder, step, provider);
  const isKept = kept !== null && kept.find(shardKey(step, 'train', task)) !== null;
  const marks = [performance.now()];
  const traced = traceShard(step, task, true);
  marks.push(performance.now());
  const gradients = traced.gradients.filter((gradient) => gradient !== null);
  const emitted = emitStep(traced, [...gradients, ...listOf(traced.values)], provider);
  marks.push(performance.now());
  const session = await OnnxSession.create(emitted.model, threads, provider);
  marks.push(performance.now());
  await session.dispose();
  step.dispose();
  const [traceMs, emitMs, sessionMs] = marks.slice(1).map((at, i) => at - marks[i]);
  const readMs = isKept ? marks[0] - startMs : null;
  return { traceMs, emitMs, sessionMs, readMs, operators: emitted.nodes };
}
