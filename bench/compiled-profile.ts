/**
 * Where the time of a compiled training shard goes, by node of its ONNX graph, one thread:
 * `npx tsx bench/compiled-profile.ts [--model cnn|mlp] [--batch 64] [--steps 30] [--top 20]`.
 * Times are the runtime's own, least and median over the steps; a node is named with its inputs' shapes.
 */

import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { buildModel } from '../worker/compute/build-model.js';
import { emitStep } from '../worker/compute/compiled/emit.js';
import { shardFeeds } from '../worker/compute/compiled/feeds.js';
import { loadRuntime, sessionOptions } from '../worker/compute/compiled/onnx/runtime.js';
import { traceShard } from '../worker/compute/compiled/trace-step.js';
import type { FedValue } from '../worker/compute/fed.js';
import { ShardStep } from '../worker/compute/shard-step.js';
import { listOf } from '../worker/compute/shard-values.js';
import { describeMachine } from './machine.js';
import { mnistShard, mnistSpec, mnistWeights } from './mnist-shard.js';
import { median } from './statistics.js';

const { values } = parseArgs({
  options: {
    model: { type: 'string', default: 'cnn' },
    batch: { type: 'string', default: '64' },
    steps: { type: 'string', default: '30' },
    top: { type: 'string', default: '20' },
  },
});

interface Feed {
  readonly name: string;
  readonly data: FedValue;
}

/** The step as ONNX, with what a shard feeds to it. */
async function compiledShard(): Promise<{ model: Uint8Array; feeds: Feed[] }> {
  const spec = mnistSpec(values.model === 'mlp' ? 'mlp' : 'cnn');
  const built = await buildModel(spec);
  const step = new ShardStep(spec, new Map(), built.model, built.manifest);
  const task = mnistShard(Number(values.batch));
  const traced = traceShard(step, task, true);
  const wanted = [...traced.gradients.filter((gradient) => gradient !== null), ...listOf(traced.values)];
  const { model, weights, fed } = emitStep(traced, wanted);
  const flat = mnistWeights(built.manifest.totalSize);
  const weightFeeds = weights.map(({ index, name }): Feed => {
    const { shape, offset, size } = built.manifest.weights[index];
    return { name, data: { dtype: 'float32', shape, data: flat.subarray(offset, offset + size) } };
  });
  const given = shardFeeds(step, task, fed, traced.values.predictionShapes);
  const fedFeeds = fed.flatMap(({ name }, i) => (name === null ? [] : [{ name, data: given[i] }]));
  return { model, feeds: [...weightFeeds, ...fedFeeds] };
}

interface ProfileEvent {
  readonly cat: string;
  readonly name: string;
  /** Microseconds. */
  readonly dur: number;
  readonly args?: {
    readonly op_name?: string;
    readonly input_type_shape?: readonly Readonly<Record<string, readonly number[]>>[];
  };
}

/** Runs the shard with the runtime's profiler on. */
async function profile(model: Uint8Array, feeds: readonly Feed[]): Promise<ProfileEvent[]> {
  const folder = mkdtempSync(join(tmpdir(), 'lockstep-profile-'));
  try {
    const profileFilePrefix = join(folder, 'profile');
    const { InferenceSession, Tensor } = loadRuntime();
    const options = { ...sessionOptions(1), enableProfiling: true, profileFilePrefix };
    const session = await InferenceSession.create(model, options);
    const tensors = Object.fromEntries(
      feeds.map(({ name, data: { dtype, data, shape } }) => [
        name,
        new Tensor(dtype, data as Float32Array, shape),
      ]),
    );
    for (let i = 0; i < Number(values.steps); i++) await session.run(tensors);
    session.endProfiling();
    const [file] = readdirSync(folder);
    return JSON.parse(readFileSync(join(folder, file), 'utf8'));
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** The shapes of a node's inputs, without the types. */
const describe = ({ op_name = '', input_type_shape = [] }: NonNullable<ProfileEvent['args']>): string =>
  `${op_name} ${input_type_shape.map((input) => `[${Object.values(input)[0]}]`).join(' ')}`;

const { model, feeds } = await compiledShard();
const nodes = new Map<string, { description: string; timesMs: number[] }>();
for (const { cat, name, dur, args } of await profile(model, feeds)) {
  if (cat !== 'Node' || !name.endsWith('_kernel_time') || args === undefined) continue;
  const node = nodes.get(name) ?? { description: describe(args), timesMs: [] };
  node.timesMs.push(dur / 1000);
  nodes.set(name, node);
}
const measured = [...nodes.values()]
  .map(({ description, timesMs }) => ({ description, least: Math.min(...timesMs), middle: median(timesMs) }))
  .toSorted((a, b) => b.least - a.least);
const sum = (pick: (node: (typeof measured)[number]) => number) =>
  measured.reduce((total, node) => total + pick(node), 0);
const leastSum = sum(({ least }) => least);

console.log(describeMachine());
console.log(`\n${values.model}, batch ${values.batch}: ${measured.length} nodes`);
console.log(`  least ms   median   share  node and its inputs`);
const line = (least: number, middle: number, text: string) => {
  const share = `${((100 * least) / leastSum).toFixed(1)}%`;
  console.log(
    `${least.toFixed(3).padStart(10)}${middle.toFixed(3).padStart(9)}${share.padStart(8)}  ${text}`,
  );
};
for (const { least, middle, description } of measured.slice(0, Number(values.top))) {
  line(least, middle, description);
}
line(
  leastSum,
  sum(({ middle }) => middle),
  'all',
);
