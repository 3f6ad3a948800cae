/**
 * What receipts cost: `npx tsx bench/receipts.ts [--backend tensorflow|wasm] [--rounds N]`.
 * The demo's CNN at batch 128 on two workers: a step with a run folder, which keeps a receipt of every step, against
 * one without, and the same with recorded shards. The three take turns on one cluster, so that all meet the same
 * machine; checkpoints are written between the turns. Run `npm run build` first; tensorflow needs
 * @tensorflow/tfjs-node or LOCKSTEP_TFJS_NODE.
 */

import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { digitsCnn } from './digits-cnn.js';
import { Distributed } from './distributed.js';
import { describeMachine } from './machine.js';
import type { PlainConfig } from './plain-process.js';
import { describeMs, describeRatio } from './statistics.js';

const target = 1.03;
const stepsPerTurn = 5;

const { values } = parseArgs({
  options: {
    backend: { type: 'string', multiple: true, default: ['tensorflow', 'wasm'] },
    rounds: { type: 'string', default: '12' },
    batch: { type: 'string', default: '128' },
  },
});

console.log(describeMachine());
const batchSize = Number(values.batch);
const cnn = await digitsCnn((stepsPerTurn + 1) * batchSize, batchSize);
const directory = await mkdtemp(join(tmpdir(), 'lockstep-bench-'));
try {
  for (const name of values.backend) {
    const backend = name as PlainConfig['backend'];
    const cluster = await Distributed.start({ backend, workers: 2 }, cnn);
    const times = { without: [] as number[], receipts: [] as number[], shards: [] as number[] };
    for (let round = 0; round < Number(values.rounds); round++) {
      times.without.push(...(await cluster.run(stepsPerTurn)));
      times.receipts.push(...(await cluster.run(stepsPerTurn, { checkpoint: { directory } })));
      times.shards.push(
        ...(await cluster.run(stepsPerTurn, { checkpoint: { directory }, recordShards: true })),
      );
    }
    console.log(`\n${backend}, CNN, batch ${batchSize}, two workers, milliseconds per step`);
    console.log(describeMs('without receipts', times.without));
    console.log(describeMs('with receipts', times.receipts));
    console.log(describeMs('with receipts and recorded shards', times.shards));
    console.log(describeRatio('receipts / without', times.receipts, times.without, { atMost: target }));
    console.log(describeRatio('recorded shards / without', times.shards, times.without, null));
    await cluster.close();
  }
} finally {
  await rm(directory, { recursive: true, force: true });
}
