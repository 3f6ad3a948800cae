/**
 * What compiling a training step costs: `npx tsx bench/compile-time.ts [--batch 64] [--rounds N]`.
 * The times to trace the step, to write the graph and to create its session, for the MNIST CNN and for ResNet-20 on
 * 32×32×3; and the time to read the graph from the file of the round before, which takes the place of the first two. Each round is a process of its own, so that nothing is warm; a target is of the median of the sums.
 */

import { fork } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { loadBackend } from '../worker/backend/select.js';
import { buildModel } from '../worker/compute/build-model.js';
import { emitStep } from '../worker/compute/compiled/emit.js';
import { KeptSteps } from '../worker/compute/compiled/kept-steps.js';
import { OnnxSession } from '../worker/compute/compiled/onnx/runtime.js';
import { StepFolder } from '../worker/compute/compiled/step-folder.js';
import { shardKey } from '../worker/compute/compiled/step-key.js';
import { traceShard } from '../worker/compute/compiled/trace-step.js';
import { writeShard } from '../worker/compute/compiled/write-step.js';
import { ShardStep } from '../worker/compute/shard-step.js';
import { listOf } from '../worker/compute/shard-values.js';
import { answerOf } from './ask.js';
import { describeMachine } from './machine.js';
import { imageShard, logitsSpec } from './mnist-shard.js';
import { mnistCnn, resnet20 } from './models.js';
import { median } from './statistics.js';

const models = {
  cnn: { build: mnistCnn, shape: [28, 28, 1], name: 'CNN', targetMs: 1_000 },
  resnet20: { build: () => resnet20(), shape: [32, 32, 3], name: 'ResNet-20', targetMs: 5_000 },
};

interface Compiled {
  readonly nodes: number;
  readonly traceMs: number;
  readonly emitMs: number;
  readonly sessionMs: number;
  /** Null in the first round, which finds no file. */
  readonly readMs: number | null;
}

const { values } = parseArgs({
  options: {
    batch: { type: 'string', default: '64' },
    rounds: { type: 'string', default: '5' },
    child: { type: 'string' },
    folder: { type: 'string', default: '' },
  },
});

async function compile({ build, shape }: (typeof models)['cnn'], folder: string): Promise<Compiled> {
  await loadBackend({ backend: 'onnx', threads: 1 });
  const spec = logitsSpec(build());
  const { model, manifest } = await buildModel(spec);
  const step = new ShardStep(spec, new Map(), model, manifest);
  const task = imageShard(Number(values.batch), shape);
  const folderMs = performance.now();
  const kept = new KeptSteps(new StepFolder(folder), step, 'cpu');
  const isKept = kept.find(shardKey(step, 'train', task)) !== null;
  const beganMs = performance.now();
  const traced = traceShard(step, task, true);
  const tracedMs = performance.now();
  const gradients = traced.gradients.filter((gradient) => gradient !== null);
  const emitted = emitStep(traced, [...gradients, ...listOf(traced.values)]);
  const emittedMs = performance.now();
  const session = await OnnxSession.create(emitted.model, 1);
  const createdMs = performance.now();
  await session.dispose();
  kept.get(shardKey(step, 'train', task), () => writeShard(step, task, true, 'cpu'));
  return {
    nodes: emitted.nodes,
    traceMs: tracedMs - beganMs,
    emitMs: emittedMs - tracedMs,
    sessionMs: createdMs - emittedMs,
    readMs: isKept ? beganMs - folderMs : null,
  };
}

async function compare(folder: string): Promise<void> {
  console.log(describeMachine());
  console.log(`\nbatch ${values.batch}, medians of ${values.rounds} processes, milliseconds`);
  for (const [key, { name, targetMs }] of Object.entries(models)) {
    const rounds: Compiled[] = [];
    for (let round = 0; round < Number(values.rounds); round++) {
      const child = fork(fileURLToPath(import.meta.url), [
        '--child',
        key,
        '--batch',
        values.batch,
        '--folder',
        folder,
      ]);
      rounds.push((await answerOf(child)) as Compiled);
    }
    const part = (of: (round: Compiled) => number) => median(rounds.map(of)).toFixed(0);
    const sum = median(rounds.map(({ traceMs, emitMs, sessionMs }) => traceMs + emitMs + sessionMs));
    const parts = [
      `trace ${part(({ traceMs }) => traceMs)}`,
      `emit ${part(({ emitMs }) => emitMs)}`,
      `session ${part(({ sessionMs }) => sessionMs)}`,
    ];
    const fromFile = median(rounds.flatMap(({ readMs }) => readMs ?? []));
    const met = sum < targetMs ? 'met' : 'missed';
    console.log(
      `${name.padEnd(10)} ${rounds[0].nodes} nodes: ${parts.join(', ')}; together ${sum.toFixed(0)} (target below ${targetMs}: ${met}); trace and emit from a file ${fromFile.toFixed(0)}`,
    );
  }
}

if (values.child === undefined) {
  const folder = await mkdtemp(join(tmpdir(), 'lockstep-compile-'));
  try {
    await compare(folder);
  } finally {
    await rm(folder, { recursive: true });
  }
} else {
  const compiled = await compile(models[values.child as keyof typeof models], values.folder);
  process.send?.(compiled, () => process.exit(0));
}
