/** Trains the CNN with the build of one source tree, in a process of its own, as bench/overhead.ts tells it to. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';

/** The tree, and what to train with. */
export interface TreeConfig {
  readonly root: string;
  readonly backend: 'tensorflow' | 'wasm';
  readonly workers: number;
  readonly batchSize: number;
}

/** So many steps to time; in a run folder, if the tree keeps receipts there. */
export interface StepsOrder {
  readonly steps: number;
  readonly withRunFolder: boolean;
}

type Steps = (order: StepsOrder) => Promise<number[]>;

async function start({ root, backend, workers, batchSize }: TreeConfig, steps: number): Promise<Steps> {
  const load = (file: string) => import(pathToFileURL(join(root, file)).href);
  const { digitsCnn }: typeof import('./digits-cnn.js') = await load('bench/digits-cnn.ts');
  const { Distributed }: typeof import('./distributed.js') = await load('bench/distributed.ts');
  const cnn = await digitsCnn((steps + 1) * batchSize, batchSize);
  const cluster = await Distributed.start({ backend, workers }, cnn);
  const directory = await mkdtemp(join(tmpdir(), 'lockstep-bench-'));
  process.once('disconnect', () => {
    void Promise.all([cluster.close(), rm(directory, { recursive: true, force: true })]);
  });
  return (order) => cluster.run(order.steps, order.withRunFolder ? { checkpoint: { directory } } : {});
}

let run: Promise<Steps> | null = null;
process.on('message', (message: (TreeConfig & { readonly steps: number }) | StepsOrder) => {
  if ('root' in message) {
    run = start(message, message.steps);
    void run.then(() => process.send?.([]));
  } else void run?.then((steps) => steps(message)).then((times) => process.send?.(times));
});
