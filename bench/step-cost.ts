/**
 * What distribution costs: `npx tsx bench/step-cost.ts [--backend tensorflow|wasm] [--rounds N]`.
 * The demo's CNN at batch 128: a step of one worker with one shard against `model.trainOnBatch` of the same backend
 * in one process, one compute thread each. The two take turns, so that both meet the same machine. Run
 * `npm run build` first; tensorflow needs @tensorflow/tfjs-node or LOCKSTEP_TFJS_NODE.
 */

import { parseArgs } from 'node:util';
import { digitsCnn } from './digits-cnn.js';
import { Distributed } from './distributed.js';
import { describeMachine } from './machine.js';
import { type PlainConfig, PlainProcess } from './plain-process.js';
import { describeMs, describeRatio } from './statistics.js';

const target = 1.05;
const stepsPerTurn = 5;

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
  const kernels = backend === 'wasm' ? 'ours' : 'stock';
  const plain = await PlainProcess.start({ backend, threads: 1, kernels }, cnn);
  const distributed = await Distributed.start({ backend, workers: 1 }, cnn);
  const times = { plain: [] as number[], distributed: [] as number[] };
  for (let round = 0; round < Number(values.rounds); round++) {
    times.plain.push(...(await plain.run('trainOnBatch', stepsPerTurn)));
    times.distributed.push(...(await distributed.run(stepsPerTurn)));
  }
  console.log(`\n${backend}, CNN, batch ${batchSize}, milliseconds per step`);
  console.log(describeMs(`model.trainOnBatch (${kernels} kernels)`, times.plain));
  console.log(describeMs('one worker, one shard', times.distributed));
  console.log(describeRatio('distributed / plain', times.distributed, times.plain, { atMost: target }));
  plain.close();
  await distributed.close();
}
