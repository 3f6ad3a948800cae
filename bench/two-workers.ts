/**
 * What two workers gain: `npx tsx bench/two-workers.ts [--backend tensorflow|wasm] [--rounds N]`.
 * The demo's CNN at a global batch of 128: two workers with one compute thread and one shard each against
 * `model.fit` in one process with one compute thread; on tensorflow also against `model.fit` with all its threads, and
 * with the kernels that our workers use. All take turns, so that they meet the same machine. Run `npm run build`
 * first; tensorflow needs @tensorflow/tfjs-node or LOCKSTEP_TFJS_NODE.
 */

import { parseArgs } from 'node:util';
import { digitsCnn } from './digits-cnn.js';
import { Distributed } from './distributed.js';
import { describeMachine } from './machine.js';
import { type PlainConfig, PlainProcess } from './plain-process.js';
import { describeMs, describeRatio } from './statistics.js';

const stepsPerTurn = 5;

interface Peer {
  readonly name: string;
  readonly config: Omit<PlainConfig, 'backend'>;
  /** How many times faster two workers are to be, or null where no one promised. */
  readonly target: number | null;
}

const peers: Readonly<Record<PlainConfig['backend'], readonly Peer[]>> = {
  tensorflow: [
    { name: 'model.fit, 1 thread', config: { threads: 1, kernels: 'stock' }, target: 1.8 },
    { name: 'model.fit, all threads', config: { threads: null, kernels: 'stock' }, target: 1.2 },
    { name: 'model.fit, 1 thread, our kernels', config: { threads: 1, kernels: 'ours' }, target: null },
  ],
  // The stock backend has no filter gradient: it cannot train a CNN.
  wasm: [{ name: 'model.fit, 1 thread, our kernels', config: { threads: 1, kernels: 'ours' }, target: 1.8 }],
};

const { values } = parseArgs({
  options: {
    backend: { type: 'string', multiple: true, default: ['tensorflow', 'wasm'] },
    rounds: { type: 'string', default: '6' },
    batch: { type: 'string', default: '128' },
  },
});

console.log(describeMachine());
const batchSize = Number(values.batch);
const cnn = await digitsCnn((stepsPerTurn + 1) * batchSize, batchSize);
for (const name of values.backend) {
  const backend = name as PlainConfig['backend'];
  const plain = await Promise.all(
    peers[backend].map(async (peer) => ({
      ...peer,
      process: await PlainProcess.start({ ...peer.config, backend }, cnn),
      timesMs: [] as number[],
    })),
  );
  const distributed = await Distributed.start({ backend, workers: 2 }, cnn);
  const distributedMs: number[] = [];
  for (let round = 0; round < Number(values.rounds); round++) {
    for (const { process, timesMs } of plain) timesMs.push(...(await process.run('fit', stepsPerTurn)));
    distributedMs.push(...(await distributed.run(stepsPerTurn)));
  }
  console.log(`\n${backend}, CNN, global batch ${batchSize}, milliseconds per step`);
  for (const { name: peer, timesMs } of plain) console.log(describeMs(peer, timesMs));
  console.log(describeMs('two workers, two shards', distributedMs));
  for (const { name: peer, timesMs, target } of plain) {
    const bound = target === null ? null : { atLeast: target };
    console.log(describeRatio(`${peer} / two workers`, timesMs, distributedMs, bound));
  }
  for (const { process } of plain) process.close();
  await distributed.close();
}
