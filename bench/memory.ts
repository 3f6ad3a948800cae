/**
 * The coordinator's peak memory against its formula: `npx tsx bench/memory.ts [--backend wasm|tensorflow|cpu]`.
 * Each row trains a stack of dense layers in a fresh process and compares the growth of that process's peak
 * resident set over a run with a tiny model with what docs/benchmarks.md derives from the code. Run
 * `npm run build` first.
 */

import { fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { answerOf } from './ask.js';
import { describeMachine } from './machine.js';

export interface MemoryCase {
  readonly backend: 'tensorflow' | 'wasm' | 'cpu';
  readonly parameters: number;
  readonly workers: number;
  readonly optimizer: 'sgd' | 'adam';
  readonly checkpoints: boolean;
}

const mebibyte = 2 ** 20;
/** Of float32 values that an optimizer keeps per parameter. */
const slots = { sgd: 0, adam: 2 } as const;

/** docs/benchmarks.md has the terms. All parameters of these models are trainable: M = G. Beyond what every run needs. */
function predictedBytes({ parameters, workers, optimizer, checkpoints }: MemoryCase): number {
  const model = 4 * parameters;
  const state = (3 + slots[optimizer]) * model;
  // One per worker, and the sum of the step before, until the garbage collector takes it.
  const partials = (workers + 1) * model;
  const snapshot = checkpoints ? (1 + slots[optimizer]) * model : 0;
  return state + partials + snapshot;
}

/** The peak resident set of a coordinator, in bytes. */
async function measuredBytes(config: MemoryCase): Promise<number> {
  const entry = fileURLToPath(new URL('memory-run.ts', import.meta.url));
  const child = fork(entry, [JSON.stringify(config)]);
  const bytes = await answerOf(child);
  child.kill();
  return bytes as number;
}

const { values } = parseArgs({ options: { backend: { type: 'string', default: 'wasm' } } });
const backend = values.backend as MemoryCase['backend'];
const rows: Omit<MemoryCase, 'backend'>[] = [
  { parameters: 5e6, workers: 1, optimizer: 'adam', checkpoints: false },
  { parameters: 20e6, workers: 1, optimizer: 'adam', checkpoints: false },
  { parameters: 20e6, workers: 1, optimizer: 'sgd', checkpoints: false },
  { parameters: 20e6, workers: 2, optimizer: 'adam', checkpoints: false },
  { parameters: 20e6, workers: 2, optimizer: 'adam', checkpoints: true },
  { parameters: 40e6, workers: 2, optimizer: 'adam', checkpoints: true },
];

console.log(describeMachine());
const base = { backend, parameters: 1e3, workers: 1, optimizer: 'sgd', checkpoints: false } as const;
const baseBytes = await measuredBytes(base);
console.log(`a coordinator with a tiny model: ${(baseBytes / mebibyte).toFixed(0)} MiB; beyond that:\n`);
console.log('parameters  workers  optimizer  checkpoints  predicted   measured   measured / predicted');
for (const row of rows) {
  const config = { ...row, backend };
  const predicted = predictedBytes(config);
  const measured = (await measuredBytes(config)) - baseBytes;
  const { parameters, workers, optimizer, checkpoints } = config;
  console.log(
    [
      `${parameters / 1e6} M`.padStart(10),
      String(workers).padStart(9),
      optimizer.padStart(11),
      (checkpoints ? 'yes' : 'no').padStart(13),
      `${(predicted / mebibyte).toFixed(0)} MiB`.padStart(11),
      `${(measured / mebibyte).toFixed(0)} MiB`.padStart(11),
      (measured / predicted).toFixed(2).padStart(12),
    ].join(''),
  );
}
